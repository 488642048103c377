"""The interval of a true-positive rate at a threshold that comes from the same non-members.

Let N be how many non-members lie above the true threshold, M how many members, K(j) how many members lie above the
j-th largest non-member. N is binomial (n0, FPR), M is binomial (n1, TPR), independent, and K(N) <= M <= K(N + 1),
with ties too if those at the threshold are counted into N at random. All that is unknown is where on the observed
steps K the true point (N, M) lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, pi, sqrt

import numpy as np
from scipy import special

from memberwise.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper
from memberwise.statistics.mixture import quantiles_of_betas
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES, false_positives
from memberwise.statistics.sides import strictly_above
from memberwise.types.arrays import Floats, Ints, Mask

# The ranks looked at: so many standard deviations of N to either side, in steps of an eighth of one.
REACH, STEPS = 5.5, 8
# A bend counts where the curve's halves differ by more than so many standard deviations of chance. A step counts as a
# jump beyond so many mean steps and beyond this share of the whole standard deviation.
BEND, JUMP, SHARE = 1.5, 3.0, 0.6


@dataclass(frozen=True)
class Ranks:
    """What is known before any score is: how likely N is each rank around the one that a rate stands for.

    Attributes:
        ranks: ``(2 h + 2,)`` candidates for N, the plug-in floor(FPR n0) at h, and the one after the last.
        high_errors, low_errors: ``(2 h + 1,)`` errors that :func:`graded` allows Clopper-Pearson at each.
        offsets, mass: ``(2 k + 1,)`` ranks that :func:`blended` looks at, from the middle one, and P(N there).
        deviation: the standard deviation of N.
    """

    ranks: Ints
    high_errors: Floats
    low_errors: Floats
    offsets: Ints
    mass: Floats
    deviation: float

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, n0: int, fpr: float, error: float) -> Ranks:
        """The ranks around FPR n0 of n0 non-members; the same for every attack.

        Args:
            fpr: in [0, 1]. error: of each end, in (0, 0.5).
        """
        deviation = sqrt(n0 * fpr * (1 - fpr))
        reach = ceil(REACH * deviation) + 3
        centre = int(false_positives(fpr, n0))
        ranks = np.arange(centre - reach, centre + reach + 2)
        candidates = ranks[:-1]
        high_errors = _levels(_at_most(candidates - 1, n0, fpr), error)
        low_errors = _levels(1.0 - _at_most(candidates, n0, fpr), error)
        stride = max(1, int(deviation / STEPS))
        offsets = np.arange(-(reach // stride), reach // stride + 1) * stride
        below, above = centre + offsets - (stride - 1) // 2 - 1, centre + offsets + stride // 2
        mass = _at_most(above, n0, fpr) - _at_most(below, n0, fpr)
        return cls(ranks, high_errors, low_errors, offsets, mass, deviation)


@dataclass(frozen=True)
class Steps:
    """The steps K around the rank that a false-positive rate stands for.

    Attributes:
        around: the candidates for N.
        before, after: ``(2 h + 1,)`` K at each rank and at the next.
        n1: number of members.
    """

    around: Ranks
    before: Floats
    after: Floats
    n1: int

    @classmethod
    def of(cls, members: Floats, nonmembers: Floats, around: Ranks) -> Steps:
        """The curve around the ranks.

        Args:
            members, nonmembers: ``(n1,)`` and ``(n0,)`` scores, ascending.
        """
        n1, n0, ranks = len(members), len(nonmembers), around.ranks
        above = strictly_above(members, nonmembers[n0 - np.clip(ranks, 1, n0)]).astype(np.float64)
        above = np.where(ranks <= 0, 0.0, np.where(ranks > n0, float(n1), above))
        return cls(around, above[:-1], above[1:], n1)


def _at_most(ranks: Ints, n0: int, fpr: float) -> Floats:
    """P(N <= rank), ``(k,)`` for ``(k,)`` ranks."""
    inside = special.bdtr(np.clip(ranks, 0, n0), n0, fpr)
    return np.asarray(np.where(ranks < 0, 0.0, np.where(ranks >= n0, 1.0, inside)))


def tpr_interval(members: Floats, nonmembers: Floats, fpr: float, error: float) -> tuple[float, float]:
    """Bounds of the true-positive rate at ``fpr``, each missed with probability ``error``.

    Args:
        members, nonmembers: ``(n1,)`` and ``(n0,)`` scores, ascending. fpr: in [0, 1]. error: of each end, in (0, 0.5).
    """
    low, high = tpr_intervals(members, nonmembers, np.array([fpr]), error)
    return float(low[0]), float(high[0])


def tpr_intervals(members: Floats, nonmembers: Floats, fprs: Floats, error: float) -> tuple[Floats, Floats]:
    """Bounds of the true-positive rate at each of ``fprs``, each missed with probability ``error``.

    With few false positives :func:`graded` alone. Otherwise :func:`blended`, no narrower than the graded bounds at the
    jumps, of which blending takes no account.

    Args:
        members, nonmembers: ``(n1,)`` and ``(n0,)`` scores, ascending. fprs: ``(k,)`` in [0, 1].
        error: of each end, in (0, 0.5).

    Returns:
        ``(low, high)``, each ``(k,)``.
    """
    n0 = len(nonmembers)
    steps = [Steps.of(members, nonmembers, Ranks.of(n0, float(fpr), error)) for fpr in fprs]
    smooth = [not few(float(fpr), n0) for fpr in fprs]
    low, high = np.ones(len(steps)), np.zeros(len(steps))
    low[smooth], high[smooth] = blended([one for one, is_smooth in zip(steps, smooth, strict=True) if is_smooth], error)
    for k, one in enumerate(steps):
        where = jumps(one) if smooth[k] else np.ones(len(one.before), bool)
        if where.any():
            graded_low, graded_high = graded(one, where)
            low[k], high[k] = min(low[k], graded_low), max(high[k], graded_high)
    return low, high


def few(fpr: float, n_nonmembers: int) -> bool:
    """Whether too few non-members are expected above the threshold, or below it, for the binomial to be smooth."""
    above = int(false_positives(fpr, n_nonmembers))
    return min(above, n_nonmembers - above) < ENOUGH_FALSE_POSITIVES


def graded(steps: Steps, where: Mask) -> tuple[float, float]:
    """The farthest Clopper-Pearson bounds over the ranks ``where``, the less demanding the less likely the rank.

    Let z be the normal quantile of P(N < j) and w that of 1 - P(M <= K(j + 1)). For the true N and M, whatever the
    scores are, z and w are no larger than independent standard normals; so with probability 1 - ``error`` both
    z < Phi^-1(1 - error / 2) and sqrt(max(z, 0)^2 + max(w, 0)^2) <= c, for the c that :func:`_radius` finds. Rank j is
    held to w <= sqrt(c^2 - z^2), and over all ranks the bounds hold exactly. For large n they are up to
    c / Phi^-1(1 - error) times as wide as the best, 1.23 at 97.5 %.

    Args:
        where: ``(ranks,)``, which ranks count.
    """
    high_errors, low_errors = steps.around.high_errors, steps.around.low_errors
    use = where & (high_errors < 1)
    highs = clopper_pearson_upper(steps.after[use], steps.n1, high_errors[use])
    use = where & (low_errors < 1)
    lows = clopper_pearson_lower(steps.before[use], steps.n1, low_errors[use])
    return float(lows.min(initial=1.0)), float(highs.max(initial=0.0))


def _levels(probability: Floats, error: float) -> Floats:
    """The error allowed to Clopper-Pearson at each rank; 1 where the rank is left out."""
    radius = _radius(error)
    z = np.maximum(special.ndtri(probability), 0.0)
    held_to = np.sqrt(radius**2 - np.minimum(z, radius) ** 2)
    return np.asarray(np.where((probability < 1 - error / 2) & (z < radius), special.ndtr(-held_to), 1.0))


@lru_cache
def _radius(error: float) -> float:
    """c with P(Z < Phi^-1(1 - error / 2) and max(Z, 0)^2 + max(W, 0)^2 <= c^2) = 1 - error."""
    from scipy.optimize import brentq

    farthest = float(special.ndtri(1 - error / 2))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    z = farthest * (nodes + 1) / 2
    weights = weights * np.exp(-z * z / 2) * farthest / 2 / sqrt(2 * pi)

    def missing(c: float) -> float:
        above = np.where(z < c, special.ndtr(np.sqrt(np.maximum(c * c - z * z, 0.0))), 0.0)
        return float(special.ndtr(c) / 2 + weights @ above) - (1 - error)

    return float(brentq(missing, 0.0, 40.0))


def blended(steps: Sequence[Steps], error: float) -> tuple[Floats, Floats]:
    """The quantiles of Clopper-Pearson's bounds blended over the ranks by P(N = j), around each rate.

    The lower end is the ``error`` quantile of the mixture of Beta(K, n1 - K + 1), the upper that of 1 - ``error`` of
    Beta(K + 1, n1 - K) (the fiducial argument, as in Krishnamoorthy and Lee 2010). Where the curve is straight across
    the likely ranks the variance is the best possible, TPR (1 - TPR) / n1 + slope^2 FPR (1 - FPR) / n0. Where it
    bends, an end is off by the steeper half, if the halves differ by more than chance.

    Args:
        steps: around each of k rates. error: of each end, in (0, 0.5).

    Returns:
        ``(low, high)``, each ``(k,)``.
    """
    if not steps:
        return np.zeros(0), np.zeros(0)
    curves, masses, n1 = list[Floats](), list[Floats](), steps[0].n1
    for one in steps:
        offsets, mass, middle = one.around.offsets, one.around.mass, len(one.before) // 2
        after, before = one.after[middle + offsets], one.before[middle + offsets]
        curves += [_bent(before, offsets), _bent((n1 - after)[::-1], offsets)]
        masses += [mass, mass[::-1]]
    of = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    ends = quantiles_of_betas(np.concatenate(curves), n1, np.concatenate(masses), of, error)
    return ends[::2], 1.0 - ends[1::2]


def _bent(curve: Floats, offsets: Ints) -> Floats:
    """The curve, its part below the middle as far down as the part above is up, less what chance may do."""
    middle = len(curve) // 2
    centre, apart = curve[middle], np.abs(offsets[:middle])
    fall, rise = centre - curve[:middle], curve[:middle:-1] - centre
    both = fall + rise
    chance = BEND * np.sqrt((both + 1) * (1 + both / (2 * apart)))
    below = np.maximum(centre - np.maximum(fall, rise - chance), 0.0)
    return np.concatenate([below, curve[middle:]])


def jumps(steps: Steps) -> Mask:
    """Ranks at which the curve steps up farther than a smooth one does: ties, saturated scores.

    Returns:
        ``(ranks,)``, True at a jump.
    """
    middle, deviation = len(steps.before) // 2, steps.around.deviation
    reach = max(1, int(2 * deviation))
    slope = (steps.after[middle + reach] - steps.before[middle - reach]) / (2 * reach + 1)
    share = (steps.before[middle] + 1) / (steps.n1 + 2)
    whole = sqrt(steps.n1 * share * (1 - share) + (slope * deviation) ** 2)
    far: Mask = steps.after - steps.before > max(JUMP * (slope + 0.5), SHARE * whole)
    return far
