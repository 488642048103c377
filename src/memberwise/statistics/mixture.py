"""Quantiles of mixtures of Beta distributions, of many mixtures at once."""

from __future__ import annotations

import numpy as np
from scipy import special

from memberwise.types.arrays import Floats, Ints

# A quantile is found where a step of Newton's, whose error is as the square of the step, moves it by less than this.
CLOSE, SHARE = 1e-13, 1e-7
# Newton takes some four steps; halving, where it leads nowhere, as many as a float has digits.
MOST_STEPS = 200


def quantiles_of_betas(counts: Floats, n: int, masses: Floats, of: Ints, level: float) -> Floats:
    """The ``level`` quantile of mixtures of Beta(count, n - count + 1), of which count 0 stands for 0.

    Newton's method in the normal quantile of the distribution function, which is nearly straight; a step out of the
    bracket of what is known halves that instead.

    Args:
        counts, masses: ``(k,)`` parts of all mixtures, one mixture after the other; counts in [0, n], whole or
            not, weights of any sum.
        of: ``(k,)`` the mixture of each part, ascending from 0, each at least once.
        level: in (0, 1).

    Returns:
        ``(mixtures,)``.
    """
    _, first, kind = np.unique(of * (n + 1.0) + counts, return_index=True, return_inverse=True)
    of, count = of[first], counts[first]
    weight = np.bincount(kind, weights=masses)
    whole, mixtures = np.bincount(of, weights=weight), int(of[-1]) + 1
    nothing = np.bincount(of, weights=np.where(count == 0, weight, 0.0))
    least_weight = level * whole - nothing
    quantiles = np.zeros(mixtures)
    keep = (count > 0) & (least_weight[of] > 0)
    if keep.any():
        rest, place = np.unique(of[keep], return_inverse=True)
        share = weight[keep] / (whole - nothing)[of[keep]]
        goal = np.minimum(least_weight / np.where(least_weight > 0, whole - nothing, 1.0), 1.0)[rest]
        quantiles[rest] = _solved(count[keep], n, share, place, goal)
    return quantiles


def _solved(count: Floats, n: int, weight: Floats, of: Ints, goal: Floats) -> Floats:
    """The quantile ``goal`` of each mixture of proper Betas, whose weights add to 1."""
    first, last = np.flatnonzero(np.diff(of, prepend=-1)), np.flatnonzero(np.diff(of, append=of[-1] + 1))
    a, b = count, n - count + 1
    ends = [special.betaincinv(a[end], b[end], goal) for end in (first, last)]  # each part's lies between these
    low, high = ends[0] * (1 - 1e-6), ends[1] + 1e-6 * (1 - ends[1])
    middle, mean = np.bincount(of, weights=weight * a / (n + 1)), a / (n + 1)
    spread = np.bincount(of, weights=weight * (mean * (1 - mean) / (n + 2) + (mean - middle[of]) ** 2))
    target = special.ndtri(goal)
    t = np.clip(middle + target * np.sqrt(spread), low, high)
    beta, going = special.betaln(a, b), np.ones(len(goal), bool)
    for _ in range(MOST_STEPS):
        mine = going[of]
        active, at = np.flatnonzero(going), t[of[mine]]
        of_part = np.bincount(of[mine], weights=weight[mine] * special.betainc(a[mine], b[mine], at), minlength=len(t))
        logs = special.xlogy(a[mine] - 1, at) + special.xlog1py(b[mine] - 1, -at) - beta[mine]
        density = np.bincount(of[mine], weights=weight[mine] * np.exp(logs), minlength=len(t))
        level, slope, now = of_part[active], density[active], t[active]
        below = level < goal[active]
        low[active[below]], high[active[~below]] = now[below], now[~below]
        z = special.ndtri(np.clip(level, 1e-300, 1 - 1e-16))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = (z - target[active]) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / slope
        new, near = now - step, np.abs(step) <= CLOSE + SHARE * now
        inside = near | ((new > low[active]) & (new < high[active]))
        t[active] = np.where(inside, new, (low[active] + high[active]) / 2)
        going[active[near]] = False
        if not going.any():
            break
    return t
