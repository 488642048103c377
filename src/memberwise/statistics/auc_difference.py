"""How much higher one attack's AUC is than another's on the same records."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import error_rate
from memberwise.statistics.sides import membership

METHOD = "DeLong, paired"
HOEFFDING = "Hoeffding's bound over disjoint pairs (conservative: DeLong's variance is zero)"


def auc_difference(first: ArrayLike, second: ArrayLike, member: ArrayLike, confidence: float = 0.95) -> Estimate | None:
    """AUC of ``first`` minus AUC of ``second``, paired (DeLong, DeLong and Clarke-Pearson 1988).

    Args:
        first, second: ``(n,)`` scores of two attacks, HIGHER = MORE LIKELY A MEMBER; records with a NaN in either are
            left out.
        member: ``(n,)`` booleans or 0/1.
        confidence: of the two-sided interval.

    Returns:
        An estimate in [-1, 1]; None where a side has fewer than two records scored by both.

    Raises:
        StudyError: confidence out of range.
    """
    a, b, truth = np.asarray(first, np.float64), np.asarray(second, np.float64), membership(member)
    both = ~np.isnan(a) & ~np.isnan(b)
    inside, outside = both & truth, both & ~truth
    n1, n0 = int(inside.sum()), int(outside.sum())
    error = error_rate(confidence)
    if min(n1, n0) < 2:
        return None
    # How much better each record is ranked by the first attack than by the second.
    of_members = _share_below(a[outside], a[inside]) - _share_below(b[outside], b[inside])
    of_others = _share_below(b[inside], b[outside]) - _share_below(a[inside], a[outside])
    value = float(of_members.mean())
    variances = (float(of_members.var(ddof=1)) / n1, float(of_others.var(ddof=1)) / n0)
    spread = sqrt(sum(variances))
    if spread == 0:
        # Hoeffding over disjoint pairs, each of which gives a number in [-1, 1].
        half, method = sqrt(2 * log(2 / error) / min(n1, n0)), HOEFFDING
    else:
        freedom = sum(variances) ** 2 / sum(v * v / (n - 1) for v, n in zip(variances, (n1, n0), strict=True))
        half, method = float(special.stdtrit(freedom, 1 - error / 2)) * spread, METHOD
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), n1, n0, method)


def _share_below(values: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each of ``of`` the share of ``values`` below it, ties half."""
    ordered = np.sort(values)
    twice = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    return np.asarray(twice / (2 * len(ordered)), np.float64)
