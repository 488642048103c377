"""Where a record is called a member: choosing the threshold elsewhere, and what it then amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import DataError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import clopper_pearson, newcombe_difference
from memberwise.statistics.sides import membership, sides, strictly_above
from memberwise.types.arrays import Floats, Mask

ChosenOn = Literal[
    "shadows", "population", "half", "fixed", "revealed", "random inputs", "transfer", "audited (optimistic)"
]
OPTIMISTIC: ChosenOn = "audited (optimistic)"

# Kaplan's search: 0.0, 0.1, ..., 15.0, as whole numbers over ten so that nothing drifts.
KAPLAN_GRID: Floats = np.arange(151) / 10


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from. Members = score strictly above ``value``.

    Attributes:
        value: finite.
        chosen_on: "fixed" where the method has one and nothing was chosen; "audited (optimistic)" where it was
            searched on the evaluated records themselves.
        evaluated: ``(n,)`` bool, the records on which decisions are evaluated (with "half", the other half);
            None = all.
    """

    value: float
    chosen_on: ChosenOn
    evaluated: Mask | None = None


@dataclass(frozen=True)
class Counts:
    """Records called members at a fixed threshold: of the members (true) and of the non-members (false)."""

    true_positives: int
    n_members: int
    false_positives: int
    n_nonmembers: int


@dataclass(frozen=True)
class Decision:
    """What calling the records above a threshold members amounts to. Higher = the model tells more.

    Attributes:
        balanced_accuracy: (TPR + TNR) / 2; 0.5 is guessing.
        advantage: TPR - FPR; 0 is guessing.
        precision: share of members among those called members, in the audited mix; None where nobody is called one.
        recall: TPR. false_positive_rate: FPR.
        counts: what all of these are computed from.
    """

    balanced_accuracy: Estimate
    advantage: Estimate
    precision: Estimate | None
    recall: Estimate
    false_positive_rate: Estimate
    counts: Counts


def best_threshold(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> float:
    """The threshold with the best mean balanced accuracy of "score > threshold" over several models.

    Args:
        pairs: for every model ``(scores, member)``, each ``(n,)``; scores HIGHER = MORE LIKELY A MEMBER. NaN scores
            are ignored, and so is a model with no scored member or no scored non-member.

    Returns:
        A finite number midway between two adjacent scores (or an end: everybody, nobody). Among equally good
        thresholds the smallest.

    Raises:
        DataError: no model has both a scored member and a scored non-member.
    """
    scores, weights = _pooled(pairs)
    edges, group = np.unique(np.concatenate([[-np.inf], scores, [np.inf]]), return_inverse=True)
    weight = np.bincount(group[1:-1], weights=weights, minlength=len(edges))
    above = np.cumsum(weight[::-1])[::-1][1:]  # the mean of TPR - FPR strictly above each edge but the last
    best = int(np.argmax(np.round(above, 12)))  # rounded, so that ties are ties in whatever order sums were taken
    return _between(float(edges[best]), float(edges[best + 1]))


def search_threshold(scores: ArrayLike, member: ArrayLike) -> float:
    """Kaplan's search: the threshold among 0.0, 0.1, ..., 15.0 with the best balanced accuracy of "score > threshold".

    It looks at the truth about the records it is evaluated on: its :class:`Threshold` is "audited (optimistic)".
    NaN scores are ignored; among equally good thresholds the smallest.
    """
    score = np.asarray(scores, dtype=np.float64)
    scored = ~np.isnan(score)
    members, nonmembers = sides(score[scored], np.asarray(member)[scored])
    true, false = strictly_above(members, KAPLAN_GRID), strictly_above(nonmembers, KAPLAN_GRID)
    # whole numbers: equal accuracies compare as equal
    return float(KAPLAN_GRID[int(np.argmax(true * len(nonmembers) - false * len(members)))])


def count(scores: ArrayLike, member: ArrayLike, threshold: float) -> Counts:
    """Count the records with a score strictly above ``threshold``. Raises DataError as :func:`sides`."""
    members, nonmembers = sides(scores, member)
    true, false = int(strictly_above(members, threshold)), int(strictly_above(nonmembers, threshold))
    return Counts(true, len(members), false, len(nonmembers))


def count_evaluated(scores: ArrayLike, member: ArrayLike, threshold: Threshold) -> Counts:
    """:func:`count` on the records on which the threshold may be evaluated."""
    score, is_member = np.asarray(scores, dtype=np.float64), membership(member)
    keep = slice(None) if threshold.evaluated is None else threshold.evaluated
    return count(score[keep], is_member[keep], threshold.value)


def decide(scores: ArrayLike, member: ArrayLike, threshold: Threshold, confidence: float = 0.95) -> Decision:
    """Evaluate a threshold.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, no NaN among the evaluated ones. member: ``(n,)``.
        threshold: chosen elsewhere; where it is "audited (optimistic)" no estimate has an interval.
        confidence: of the two-sided intervals.

    Raises:
        DataError: as :func:`sides`, on the evaluated records.
    """
    counts = count_evaluated(scores, member, threshold)
    tp, n1, fp, n0 = counts.true_positives, counts.n_members, counts.false_positives, counts.n_nonmembers

    def estimate(value: float, interval: tuple[float, float], method: str) -> Estimate:
        whole = Estimate(value, float(interval[0]), float(interval[1]), n1, n0, method)
        return without_interval(whole) if threshold.chosen_on == OPTIMISTIC else whole

    def share(k: int, n: int, of: str) -> Estimate:
        low, high = clopper_pearson(k, n, confidence)
        return estimate(k / n, (float(low), float(high)), f"Clopper-Pearson over {of}")

    low, high = newcombe_difference(tp, n1, fp, n0, confidence)
    gain = tp / n1 - fp / n0
    return Decision(
        balanced_accuracy=estimate((1 + gain) / 2, ((1 + low) / 2, (1 + high) / 2), "Newcombe"),
        advantage=estimate(gain, (low, high), "Newcombe"),
        precision=share(tp, tp + fp, "the records called members") if tp + fp else None,
        recall=share(tp, n1, "the members"),
        false_positive_rate=share(fp, n0, "the non-members"),
        counts=counts,
    )


def without_interval(estimate: Estimate) -> Estimate:
    """The value alone: the threshold was searched on the records it is evaluated on, which voids any interval."""
    method = "optimistic: the threshold was searched on the evaluated records, so no interval is valid"
    return replace(estimate, low=None, high=None, method=method)


def _pooled(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> tuple[Floats, Floats]:
    """All scores, each with its weight in the mean of TPR - FPR."""
    scores, weights = [], []
    for values, member in pairs:
        score, is_member = np.asarray(values, dtype=np.float64), membership(member)
        scored = ~np.isnan(score)
        score, is_member = score[scored], is_member[scored]
        n1, n0 = int(is_member.sum()), int((~is_member).sum())
        if n1 and n0:
            scores.append(score)
            weights.append(np.where(is_member, 1 / n1, -1 / n0))
    if not scores:
        raise DataError(
            "no threshold can be chosen",
            expected="at least one model with a scored member and a scored non-member",
            found=f"none among {len(pairs)}",
        )
    return np.concatenate(scores), np.concatenate(weights) / len(scores)


def _between(low: float, high: float) -> float:
    """A finite number t with low <= t < high."""
    if np.isinf(low):
        return 0.0 if np.isinf(high) else float(np.nextafter(high, -np.inf))
    middle = low / 2 + high / 2
    return middle if low <= middle < high else low
