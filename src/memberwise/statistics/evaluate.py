"""All figures of one attack, as ``result.json`` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from memberwise.statistics.auc import auc
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.sides import membership
from memberwise.statistics.thresholds import Decision, Threshold, decide
from memberwise.statistics.tpr import TprAtFpr, tpr_at_fpr


@dataclass(frozen=True)
class Evaluation:
    """How well scores tell members from non-members. Higher = the model tells more.

    Attributes:
        auc: over all records with a score.
        tpr_at_fpr: one for each false-positive rate asked for, in that order.
        threshold: where records are called members, or None.
        decision: what that amounts to; None without a threshold.
    """

    auc: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]
    threshold: Threshold | None
    decision: Decision | None

    def to_dict(self) -> dict[str, Any]:
        """The keys of an attack in ``result.json``; those that belong to the threshold are None without one."""
        chosen = self.threshold
        names = ("balanced_accuracy", "advantage", "precision", "recall")
        estimates: dict[str, Estimate | None] = {name: getattr(self.decision, name, None) for name in names}
        return {
            "auc": self.auc.to_dict(),
            **{name: estimate and estimate.to_dict() for name, estimate in estimates.items()},
            "tpr_at_fpr": [estimate.to_dict() for estimate in self.tpr_at_fpr],
            "threshold": chosen and {"value": chosen.value, "chosen_on": chosen.chosen_on},
        }


def evaluate(
    scores: ArrayLike,
    member: ArrayLike,
    *,
    fprs: Sequence[float],
    confidence: float = 0.95,
    threshold: Threshold | None = None,
) -> Evaluation:
    """Evaluate one attack's scores; records that it could not score (NaN) are left out first.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, NaN = not scored.
        member: ``(n,)`` booleans or 0/1.
        fprs: false-positive rates in (0, 1).
        confidence: of every two-sided interval.
        threshold: chosen elsewhere; its mask ``evaluated``, if any, is over the same ``n`` records.

    Raises:
        DataError: no member or no non-member is left (or is in ``threshold.evaluated``), or the shapes differ.
        StudyError: a rate or the confidence is out of range.
    """
    score, is_member = np.asarray(scores, dtype=np.float64), membership(member)
    if score.shape == is_member.shape:  # else the first figure says what is wrong
        scored = ~np.isnan(score)
        score, is_member = score[scored], is_member[scored]
        if threshold is not None and threshold.evaluated is not None:
            threshold = replace(threshold, evaluated=threshold.evaluated[scored])
    return Evaluation(
        auc=auc(score, is_member, confidence),
        tpr_at_fpr=tuple(tpr_at_fpr(score, is_member, fpr, confidence) for fpr in fprs),
        threshold=threshold,
        decision=None if threshold is None else decide(score, is_member, threshold, confidence),
    )
