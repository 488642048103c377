"""The risk explorer: what an attack achieves at a chosen false-positive rate, and what a name is then worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memberwise.assess.figures import AttackFigures
from memberwise.report.formats import number
from memberwise.report.schema import AuditResult
from memberwise.report.sections.accusations import accusations
from memberwise.report.sections.base import Curves, Section, Source
from memberwise.statistics import Estimate
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES
from memberwise.statistics.prior import ppv_at
from memberwise.types.parts import Plain

# Shares of members among the records asked about.
PRIORS = (0.01, 0.1, 0.5)
BAND = "pointwise interval of the ROC curve"


class Explorer(Section):
    """A table of the headline's stated rates, which a script makes any rate, prior and attack."""

    id, link = "explorer", "Risk explorer"

    def context(self, source: Source) -> Mapping[str, object] | None:
        attacks = [one for attack in source.result.attacks if (one := choices(attack, source.curves))["rates"]]
        if not attacks:
            return None
        carried = accusations(source.result) is not None
        return {"stated": stated(source.result), "priors": PRIORS, "choices": attacks, "carried": carried}


@dataclass(frozen=True)
class Stated:
    """What the headline attack gives at one stated rate: recognised members, and how often a name is right."""

    tpr: Estimate
    fpr: float
    mark: str
    exposed: Estimate
    worth: tuple[Estimate | None, ...]


def stated(result: AuditResult) -> list[Stated]:
    """A row for every rate that the headline attack states, the largest first."""
    attack = result.attack()
    rows = [row for row in (attack.tpr_at_fpr if attack else ()) if number(row.value) is not None]
    return [
        Stated(
            row,
            row.fpr,
            row.resolvable,
            scaled(row, row.n_members),
            tuple(ppv_at(row, row.fpr, prior) for prior in PRIORS),
        )
        for row in sorted(rows, key=lambda row: -row.fpr)
    ]


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """A share of so many records as a number of records."""
    low, high = (None if number(end) is None else factor * float(end or 0) for end in (estimate.low, estimate.high))
    return Estimate(factor * estimate.value, low, high, estimate.n_members, estimate.n_nonmembers, estimate.method)


def choices(attack: AttackFigures, curves: Curves) -> Plain:
    """An attack for the script: ``rates`` of [FPR, TPR, low, high, stated, resolvable, method], ascending; and n.

    Rates that ``result.json`` states are its own; those between, whose method is BAND, points of the curve.
    """
    rows = {
        row.fpr: [row.fpr, row.value, number(row.low), number(row.high), 1, row.resolvable, row.method]
        for row in attack.tpr_at_fpr
        if number(row.value) is not None
    }
    grid = curves.get(f"{attack.name}.band_fpr")
    if grid is not None:
        fpr, tpr = curves[f"{attack.name}.fpr"], curves[f"{attack.name}.tpr"]
        at = tpr[np.searchsorted(fpr, grid, side="right") - 1]
        low, high = (curves[f"{attack.name}.band_{end}"] for end in ("low", "high"))
        shares = [np.round(part, 5).tolist() for part in (at, low, high)]
        for exact, *point in zip(grid.tolist(), *shares, strict=True):
            rate = float(f"{exact:.4g}")  # rounded to figures, not to places: rates may be tiny
            near = any(abs(rate / known - 1) < 1e-3 for known in rows if known)
            if rate > 0 and np.isfinite(point).all() and not near:
                few = attack.auc is not None and rate * attack.auc.n_nonmembers < ENOUGH_FALSE_POSITIVES
                rows[rate] = [rate, *point, 0, "weak" if few else "yes"]
    carried = [
        {
            "fpr": row.fpr,
            "realised": _ends(row.realised_fpr),
            "tpr": _ends(row.tpr),
            "worth": [
                [one.prior, one.value, number(one.low), number(one.high)] for one in attack.ppv if one.fpr == row.fpr
            ],
        }
        for row in attack.at_shadow_threshold
    ]
    n = next((row for row in attack.tpr_at_fpr), attack.auc)
    return {
        "name": attack.name,
        "n": [n.n_members, n.n_nonmembers] if n else [None, None],
        "band": BAND,
        "rates": [rows[fpr] for fpr in sorted(rows)],
        "carried": carried,
    }


def _ends(estimate: Estimate) -> list[float | None]:
    return [number(estimate.value), number(estimate.low), number(estimate.high)]
