"""A result's figures as a flat list, for trackers, cards and bills of materials alike."""

from __future__ import annotations

from dataclasses import dataclass

from memberwise.report.formats import number
from memberwise.report.schema import AuditResult
from memberwise.statistics import Estimate


@dataclass(frozen=True)
class Figure:
    """One figure of one attack; ``fpr`` of a true-positive rate alone."""

    attack: str
    metric: str
    estimate: Estimate
    fpr: float | None = None

    @property
    def name(self) -> str:
        """As trackers name it: "lira-online/tpr_at_0.01"."""
        return f"{self.attack}/{self.metric}" + ("" if self.fpr is None else f"_at_{self.fpr:g}")


def figures_of(result: AuditResult) -> list[Figure]:
    """Every attack's figures that have a value, the headline's first."""
    figures = []
    for attack in sorted(result.attacks, key=lambda one: one.name != result.headline):
        for metric in ("auc", "balanced_accuracy", "advantage", "precision", "recall"):
            estimate = getattr(attack, metric)
            if estimate is not None and number(estimate.value) is not None:
                figures.append(Figure(attack.name, metric, estimate))
        figures += [
            Figure(attack.name, "tpr", row, row.fpr) for row in attack.tpr_at_fpr if number(row.value) is not None
        ]
    return figures
