"""The ROC curve, the true-positive rate at a false-positive rate, and a band around the curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from memberwise.statistics.curve import tpr_intervals
from memberwise.statistics.intervals import error_rate
from memberwise.statistics.order import false_positives, sure_ranks
from memberwise.statistics.sides import sides, strictly_above
from memberwise.types.arrays import Floats


@dataclass(frozen=True)
class Roc:
    """A ROC curve, from (0, 0) to (1, 1).

    Attributes:
        fpr, tpr: ``(k,)`` share of non-members and of members with a score strictly above the threshold, ascending.
        thresholds: ``(k,)`` every distinct score, descending, then -inf: there everybody is called a member.
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats


def roc(scores: ArrayLike, member: ArrayLike) -> Roc:
    """The ROC curve with a point for every distinct score.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, no NaN. member: ``(n,)`` booleans or 0/1.

    Raises:
        DataError: a side is empty, a score is NaN, or the shapes differ.
    """
    members, nonmembers = sides(scores, member)
    thresholds = np.unique(np.concatenate([members, nonmembers]))[::-1]
    # the last point is (1, 1) by definition: a score of -inf is never strictly above anything
    tpr = np.append(strictly_above(members, thresholds) / len(members), 1.0)
    fpr = np.append(strictly_above(nonmembers, thresholds) / len(nonmembers), 1.0)
    return Roc(fpr=fpr, tpr=tpr, thresholds=np.append(thresholds, -np.inf))


def tpr_at(scores: ArrayLike, member: ArrayLike, fpr: float) -> float:
    """Share of members with a score strictly above the (floor(fpr * n0) + 1)-th largest non-member score.

    1.0 where ``fpr >= 1``. The empirical false-positive rate is then at most ``fpr``, ties included.
    """
    return tpr_at_rank(*sides(scores, member), fpr)


def tpr_at_rank(members: Floats, nonmembers: Floats, fpr: float) -> float:
    """:func:`tpr_at` of the two sides, ascending.

    Args:
        members, nonmembers: ``(n1,)`` and ``(n0,)`` scores. fpr: in [0, 1].
    """
    allowed = int(false_positives(fpr, len(nonmembers)))
    if allowed == len(nonmembers):
        return 1.0
    return int(strictly_above(members, nonmembers[len(nonmembers) - 1 - allowed])) / len(members)


def roc_band(scores: ArrayLike, member: ArrayLike, fprs: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Pointwise interval of the true-positive rate at each of ``fprs``; one sort.

    It covers what it claims though the thresholds come from the same non-members (:mod:`memberwise.statistics.curve`),
    half of the error rate on either side: at a confidence of 1 - 2 error each end is missed with probability ``error``.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, no NaN. member: ``(n,)`` booleans or 0/1.
        fprs: ``(k,)`` false-positive rates in [0, 1].
        confidence: of each interval by itself.

    Returns:
        ``(low, high)``, each ``(k,)``; low is 0 where the non-members are too few for the rate.
    """
    members, nonmembers = sides(scores, member)
    rates, half = np.minimum(np.asarray(fprs, dtype=np.float64), 1.0), error_rate(confidence) / 2
    strict, _ = sure_ranks(rates, len(nonmembers), confidence)
    low, high = tpr_intervals(members, nonmembers, rates, half)
    value = np.array([tpr_at_rank(members, nonmembers, float(rate)) for rate in rates])
    return np.where(strict == 0, 0.0, np.minimum(low, value)), np.maximum(high, value)
