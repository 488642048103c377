"""One-sided bounds of an attack's figures at error rates of their own, as a gate needs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from memberwise.statistics.auc import auc
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.thresholds import Threshold, decide
from memberwise.statistics.tpr import TprAtFpr, tpr_at_fpr
from memberwise.types.arrays import Floats, Mask

# Two-sided confidence below which no interval is asked for: a one-sided bound at 49.5 % is the point estimate.
LEAST_CONFIDENCE = 0.01


class Measurable(Protocol):
    """What gives a figure with an interval at any confidence."""

    def estimate(self, metric: str, fpr: float | None, confidence: float) -> Estimate | None:
        """A figure with its two-sided interval; None where there is none."""
        ...


@dataclass(frozen=True)
class Measured:
    """One attack on the evaluated records.

    Attributes:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, NaN = not scored.
        member: ``(n,)`` bool.
        threshold: where records are called members; None where the attack has none.
    """

    scores: Floats
    member: Mask
    threshold: Threshold | None = None

    def estimate(self, metric: str, fpr: float | None, confidence: float) -> Estimate | None:
        """A figure with its two-sided interval; None where the attack has none (no threshold, nobody named).

        Args:
            metric: tpr (at ``fpr``), auc, or one that belongs to the threshold: balanced_accuracy, advantage, ...
        """
        scored = ~np.isnan(self.scores)
        scores, member = self.scores[scored], self.member[scored]
        if metric == "tpr" and fpr is not None:
            return tpr_at_fpr(scores, member, fpr, confidence)
        if metric == "auc":
            return auc(scores, member, confidence)
        if self.threshold is None:
            return None
        kept = self.threshold.evaluated
        threshold = self.threshold if kept is None else replace(self.threshold, evaluated=kept[scored])
        figure: Estimate | None = getattr(decide(scores, member, threshold, confidence), metric)
        return figure


@dataclass(frozen=True)
class Bounds:
    """A figure with two one-sided bounds.

    Attributes:
        low, high: None where no valid interval is known. The truth is below ``low`` with probability at most
            ``low_error``, above ``high`` at most ``high_error``.
        resolved: False for a true-positive rate that so few non-members cannot resolve.
    """

    value: float
    low: float | None
    high: float | None
    low_error: float
    high_error: float
    n_members: int
    n_nonmembers: int
    method: str
    resolved: bool


def bounds_of(
    attack: Measurable, metric: str, fpr: float | None, *, low_error: float, high_error: float
) -> Bounds | None:
    """Both one-sided bounds: the ends of two-sided intervals at confidence 1 - 2 error. None as ``Measured.estimate``.

    Args:
        low_error, high_error: in (0, 0.5); larger ones count as 0.495.

    Raises:
        DataError: no member or no non-member has a score.
    """
    below = attack.estimate(metric, fpr, _two_sided(low_error))
    above = attack.estimate(metric, fpr, _two_sided(high_error))
    if below is None or above is None:
        return None
    known = not isinstance(below, TprAtFpr) or below.resolvable == "yes"
    return Bounds(
        below.value,
        below.low,
        above.high,
        low_error,
        high_error,
        below.n_members,
        below.n_nonmembers,
        below.method,
        known,
    )


def _two_sided(error: float) -> float:
    return max(1.0 - 2.0 * error, LEAST_CONFIDENCE)
