"""Which order statistic of the non-members stands for a false-positive rate, and which surely does.

Ranks count from the largest non-member score: rank 1 is the largest. Records are called members when their score
is strictly above the one at the rank.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from memberwise.errors import StudyError
from memberwise.statistics.intervals import error_rate
from memberwise.types.arrays import Floats, Ints, Mask

# Below this many expected false positives a figure is "weak".
ENOUGH_FALSE_POSITIVES = 10


def false_positives(fpr: ArrayLike, n_nonmembers: int) -> Ints:
    """floor(fpr * n_nonmembers), at most ``n_nonmembers``: the false positives that the rate allows.

    0.29 * 100 is 28.999... in binary: a product within rounding error of a whole number counts as that number.

    Args:
        fpr: rates, ``()`` or ``(...,)`` of any shape, which the counts have too.

    Raises:
        StudyError: a rate is negative or no number.
    """
    rates = np.asarray(fpr, dtype=np.float64)
    if not (rates >= 0).all():
        raise StudyError("a false-positive rate is out of range", expected="numbers in (0, 1)", found=repr(fpr))
    return np.minimum(np.floor(rates * n_nonmembers * (1 + 1e-12)), n_nonmembers).astype(np.int64)


def sure_ranks(fpr: ArrayLike, n_nonmembers: int, confidence: float) -> tuple[Ints, Ints]:
    """The ranks that bracket a false-positive rate, though it is measured on the same non-members.

    The true rate at rank j is Beta(j, n0 - j + 1) distributed for continuous scores, and with ties the argument
    holds for "strictly above" too. Each rank errs with probability at most b/4, b = 1 - confidence.

    Args:
        fpr: false-positive rates in [0, 1], any shape.
        n_nonmembers: n0.
        confidence: of the two-sided interval that is built from the ranks and from a binomial bound at each.

    Returns:
        ``(strict, generous)``: the largest j with BetaInv(1 - b/4; j, n0 - j + 1) <= fpr, 0 where there is none, and
        the smallest j with BetaInv(b/4; j, n0 - j + 1) >= fpr, n0 + 1 where there is none.
    """
    quarter = error_rate(confidence) / 4
    rates = np.minimum(np.asarray(fpr, dtype=np.float64), 1.0)
    strict = _last_rank(rates, n_nonmembers, lambda reach: reach >= 1 - quarter)
    generous = _last_rank(rates, n_nonmembers, lambda reach: reach > quarter) + 1
    return strict, generous


def _last_rank(rates: Floats, n: int, holds: Callable[[Floats], Mask]) -> Ints:
    """The largest j in 1..n for which ``holds(P(Beta(j, n - j + 1) <= rate))``, else 0; it falls as j grows."""
    low, high = np.zeros(rates.shape, dtype=np.int64), np.full(rates.shape, n + 1)
    while (high - low > 1).any():
        # where the search has ended, middle is low again and nothing changes
        middle = (low + high) // 2
        rank = np.clip(middle, 1, n)
        inside = holds(special.betainc(rank, n - rank + 1, rates))
        moving = high - low > 1
        low, high = np.where(moving & inside, middle, low), np.where(moving & ~inside, middle, high)
    return low
