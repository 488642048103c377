"""Two attacks on the same records, of one model or of two: by how much their figures differ, record by record.

Records that are hard for one are hard for the other, so the difference is known better than either figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from memberwise.errors import DataError
from memberwise.statistics.auc import auc
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import error_rate
from memberwise.statistics.order import false_positives
from memberwise.statistics.sides import membership
from memberwise.types.arrays import Floats, Mask

# Factor on the half-width of a difference of AUCs, as auc() has; 500 draws give a spread to about 3 %.
WIDENING = 1.06
DRAWS = 500
# Numbers of bootstrap weights held at once.
CHUNK_VALUES = 8_000_000

DELONG = "DeLong for correlated ROC curves, Student t, 6 % wider"
APART = "difference of both intervals, half of the error rate each: nothing varies from record to record"
BOOTSTRAP = f"bootstrap over records, both attacks on the same {DRAWS} draws, normal, 6 % wider"


@dataclass(frozen=True, eq=False)
class Ranked:
    """One attack's scores of records, with their places among the records of the other side.

    Attributes:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, none NaN. member: ``(n,)`` bool, both sides there.
    """

    scores: Floats
    member: Mask

    @cached_property
    def inside(self) -> Floats:
        """Of each member the share of non-members below it, ties half: ``(n1,)`` in [0, 1]."""
        low = np.sort(self.scores[~self.member])
        mine = self.scores[self.member]
        return np.asarray((np.searchsorted(low, mine, "left") + np.searchsorted(low, mine, "right")) / (2 * len(low)))

    @cached_property
    def outside(self) -> Floats:
        """Of each non-member the share of members above it, ties half: ``(n0,)`` in [0, 1]."""
        high = np.sort(self.scores[self.member])
        mine = self.scores[~self.member]
        below = np.searchsorted(high, mine, "left") + np.searchsorted(high, mine, "right")
        return np.asarray(1 - below / (2 * len(high)))


def ranked_both(first: ArrayLike, second: ArrayLike, member: ArrayLike) -> tuple[Ranked, Ranked]:
    """Two attacks on the records that both score (NaN = not scored).

    Raises:
        DataError: the lengths differ, or no member or no non-member is scored by both.
    """
    a, b, truth = np.asarray(first, np.float64), np.asarray(second, np.float64), membership(member)
    if not a.shape == b.shape == truth.shape or a.ndim != 1:
        raise DataError(
            "two attacks are not on the same records",
            expected="scores, scores and member of one length",
            found=f"shapes {a.shape}, {b.shape} and {truth.shape}",
        )
    kept = ~np.isnan(a) & ~np.isnan(b)
    if not (truth & kept).any() or not (~truth & kept).any():
        raise DataError("no member, or no non-member, is scored by both attacks")
    return Ranked(a[kept], truth[kept]), Ranked(b[kept], truth[kept])


def auc_difference(first: Ranked, second: Ranked, confidence: float = 0.95) -> Estimate:
    """AUC of the first attack minus that of the second, on the same records.

    Interval by DeLong, DeLong and Clarke-Pearson (1988) for two curves on the same records, with Satterthwaite's
    degrees of freedom. Where the difference of placements is the same for all records of a side the variance says
    nothing: then the two AUCs' own intervals are subtracted.

    Returns:
        An estimate in [-1, 1]; above 0 the first tells more.
    """
    sides = (first.inside - second.inside, first.outside - second.outside)
    n1, n0 = len(sides[0]), len(sides[1])
    value = float(sides[0].mean())
    variances = [float(np.var(side, ddof=1)) / len(side) if len(side) > 1 else 0.0 for side in sides]
    variance = sum(variances)
    if min(n1, n0) < 2 or (variance == 0 and value != 0):
        one, two = (auc(each.scores, each.member, (1 + confidence) / 2) for each in (first, second))
        low, high = float(one.low or 0) - float(two.high or 1), float(one.high or 1) - float(two.low or 0)
        return Estimate(value, low, high, n1, n0, APART)
    freedom = variance**2 / sum(v * v / (n - 1) for v, n in zip(variances, (n1, n0), strict=True)) if variance else 1.0
    half = WIDENING * float(special.stdtrit(freedom, 1 - error_rate(confidence) / 2)) * sqrt(variance)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), n1, n0, DELONG)


def tpr_draws(scores: ArrayLike, member: ArrayLike, fpr: float, seed: int, draws: int = DRAWS) -> Floats:
    """``(k, draws)`` true-positive rates of k attacks at ``fpr``, over bootstrap draws of the records of each side.

    The same seed and membership give the same draws, whatever the scores: the spread of the difference of two such
    rows is that of the difference of the rates. Records without a score (NaN) count nowhere.

    Args:
        scores: ``(k, n)`` HIGHER = MORE LIKELY A MEMBER. member: ``(n,)`` booleans or 0/1.
    """
    table, truth = np.asarray(scores, dtype=np.float64), membership(member)
    sides = [np.flatnonzero(truth), np.flatnonzero(~truth)]
    attacks = [_Order.of(score, sides) for score in table]
    rng, rates = np.random.default_rng(seed), []
    step = max(1, CHUNK_VALUES // table.shape[1])
    for first in range(0, draws, step):
        weights = np.zeros((min(step, draws - first), table.shape[1]))
        for side in sides:
            weights[:, side] = rng.multinomial(len(side), np.full(len(side), 1 / len(side)), size=len(weights))
        rates.append(np.stack([attack.rates(weights, fpr) for attack in attacks]))
    return np.concatenate(rates, axis=1)


@dataclass(frozen=True, eq=False)
class _Order:
    """One attack's scored members and non-members from the highest score down, as places in the table.

    ``above``: of each non-member the number of members with a higher score.
    """

    members: NDArray[np.intp]
    nonmembers: NDArray[np.intp]
    above: NDArray[np.intp]

    @classmethod
    def of(cls, score: Floats, sides: Sequence[NDArray[np.intp]]) -> _Order:
        scored = [side[~np.isnan(score[side])] for side in sides]
        if not len(scored[0]) or not len(scored[1]):
            raise DataError("there is no rate without scored members and scored non-members")
        members, nonmembers = (side[np.argsort(-score[side], kind="stable")] for side in scored)
        return cls(members, nonmembers, np.searchsorted(-score[members], -score[nonmembers], side="left"))

    def rates(self, weights: Floats, fpr: float) -> Floats:
        """``(b,)``: the rate where record i is there ``weights[:, i]`` times."""
        mine, theirs = (np.cumsum(weights[:, side], axis=1) for side in (self.members, self.nonmembers))
        allowed = np.array([int(false_positives(fpr, int(total))) for total in theirs[:, -1]])
        # The first non-member, from the top, with whom more are accused than allowed: its score is the threshold.
        place = (theirs <= allowed[:, None]).sum(1).clip(max=len(self.nonmembers) - 1)
        above = self.above[place]
        hits = np.where(above > 0, mine[np.arange(len(mine)), above - 1], 0.0)
        return np.asarray(hits / np.maximum(mine[:, -1], 1))


def tpr_difference(
    values: tuple[float, float], draws: tuple[Floats, Floats], n: tuple[int, int], confidence: float = 0.95
) -> Estimate:
    """The first true-positive rate minus the second, from both rates and their :func:`tpr_draws` on one seed.

    Args:
        values: both rates. draws: ``(draws,)`` rates of each. n: numbers of members and of non-members.
    """
    value = values[0] - values[1]
    spread = float(np.std(draws[0] - draws[1], ddof=1))
    half = WIDENING * float(special.ndtri(1 - error_rate(confidence) / 2)) * spread
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), *n, BOOTSTRAP)
