"""Quantiles of mixtures of Beta distributions, of many mixtures at once."""

from __future__ import annotations

import numpy as np
from scipy import special

from memberwise.types.arrays import Floats, Ints

# A quantile is found where a step moves it by less than this, in itself or as a share of it.
CLOSE, SHARE = 1e-13, 1e-11
# Newton takes some four steps; halving, where it leads nowhere, as many as a float has digits.
MOST_STEPS = 200


def quantiles_of_betas(counts: Floats, n: int, masses: Floats, of: Ints, level: float) -> Floats:
    """The ``level`` quantile of mixtures of Beta(count, n - count + 1), of which count 0 stands for 0.

    Newton's method in the normal quantile of the distribution function, which is nearly straight; a step out of the
    bracket of what is known halves that instead.

    Args:
        counts, masses: ``(k,)`` parts of all mixtures, one mixture after the other; counts 0 to n, weights of any sum.
        of: ``(k,)`` the mixture of each part, ascending from 0, each at least once.
        level: in (0, 1).

    Returns:
        ``(mixtures,)``.
    """
    key, kind = np.unique(of * (n + 1.0) + counts, return_inverse=True)
    of, count = np.divmod(key.astype(np.int64), n + 1)
    weight = np.bincount(kind, weights=masses)
    whole, mixtures = np.bincount(of, weights=weight), int(of[-1]) + 1
    nothing = np.bincount(of, weights=np.where(count == 0, weight, 0.0))
    wanted = level * whole - nothing
    found = np.zeros(mixtures)
    keep = (count > 0) & (wanted[of] > 0)
    if keep.any():
        rest, place = np.unique(of[keep], return_inverse=True)
        share = weight[keep] / (whole - nothing)[of[keep]]
        goal = np.minimum(wanted / np.where(wanted > 0, whole - nothing, 1.0), 1.0)[rest]
        found[rest] = _solved(count[keep].astype(np.float64), n, share, place, goal)
    return found


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
    beta, active = special.betaln(a, b), np.arange(len(goal))
    for _ in range(MOST_STEPS):
        mine = np.isin(of, active)
        at = t[of[mine]]
        of_part = np.bincount(of[mine], weights=weight[mine] * special.betainc(a[mine], b[mine], at), minlength=len(t))
        logs = special.xlogy(a[mine] - 1, at) + special.xlog1py(b[mine] - 1, -at) - beta[mine]
        density = np.bincount(of[mine], weights=weight[mine] * np.exp(logs), minlength=len(t))
        level, slope, now = of_part[active], density[active], t[active]
        below = level < goal[active]
        low[active[below]], high[active[~below]] = now[below], now[~below]
        z = special.ndtri(np.clip(level, 1e-300, 1 - 1e-16))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = (z - target[active]) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / slope
        new = now - step
        outside = ~((new > low[active]) & (new < high[active]))
        new = np.where(outside, (low[active] + high[active]) / 2, new)
        t[active] = new
        active = active[np.abs(new - now) > CLOSE + SHARE * new]
        if not len(active):
            break
    return t
