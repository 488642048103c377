"""All figures of one attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from memberwise.statistics.auc import auc
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.sides import membership
from memberwise.statistics.thresholds import Decision, Threshold, decide
from memberwise.statistics.tpr import TprAtFpr, tpr_at_fpr
from memberwise.types.parts import Plain, to_plain


@dataclass(frozen=True)
class ChosenThreshold:
    """Where records are called members, and on what that was chosen."""

    value: float
    chosen_on: str


@dataclass(frozen=True)
class EvaluationFigures:
    """An evaluation as ``result.json`` holds it; what belongs to the threshold is None without one."""

    auc: Estimate
    balanced_accuracy: Estimate | None
    advantage: Estimate | None
    precision: Estimate | None
    recall: Estimate | None
    tpr_at_fpr: tuple[TprAtFpr, ...]
    threshold: ChosenThreshold | None


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

    def figures(self) -> EvaluationFigures:
        """The same, flat."""
        chosen, decision = self.threshold, self.decision
        return EvaluationFigures(
            auc=self.auc,
            balanced_accuracy=None if decision is None else decision.balanced_accuracy,
            advantage=None if decision is None else decision.advantage,
            precision=None if decision is None else decision.precision,
            recall=None if decision is None else decision.recall,
            tpr_at_fpr=self.tpr_at_fpr,
            threshold=None if chosen is None else ChosenThreshold(chosen.value, chosen.chosen_on),
        )

    def to_dict(self) -> Plain:
        """``figures`` as plain values."""
        return to_plain(self.figures())


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
