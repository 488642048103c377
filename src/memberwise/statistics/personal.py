"""The risk of each record by itself: how well a model that trained on it is told from one that did not.

AUC_i is the probability that an IN model scores record i above an OUT model *trained apart*. The two models of a
complementary pair are not independent, record by record (what helps the record's neighbours into one half keeps them
out of the other), so IN is compared with OUT of other pairs only, and what chance does to that figure is tabulated by
simulation with the pairs' own correlation. The share of records above a level then has a profile likelihood over all
mixing distributions (Kiefer & Wolfowitz 1956), which a histogram of the noisy AUC_i has not: it is spread by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from memberwise.statistics.personal_tables import BINS, LOWEST, AucTable
from memberwise.types.arrays import Floats, Ints, Mask

# Shares that are tried: dense near 0, where answers lie that matter.
SHARES = np.unique(
    np.concatenate(
        [
            [0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.0125, 0.015, 0.0175, 0.02, 0.025, 0.03, 0.04],
            np.arange(0.05, 0.2, 0.015),
            np.arange(0.2, 0.8, 0.04),
            1 - np.array([0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15]),
        ]
    )
)
EM_STEPS, SMOOTH_STEPS = 600, 100
DRIFTING = 1000


@dataclass(frozen=True)
class Share:
    """The share of records whose AUC_i is above a level, with its interval."""

    level: float
    value: float
    low: float
    high: float


def cross_pair_auc(inside: Floats, outside: Floats) -> Floats:
    """``(n,)`` share of comparisons across pairs in which the IN model scores higher; ties count half.

    Args:
        inside, outside: ``(p, n)`` scores of each pair's IN and OUT model, p >= 2.
    """
    from scipy.stats import rankdata

    pairs = len(inside)
    ranks = rankdata(np.concatenate([inside, outside]), axis=0)[:pairs].sum(0) - pairs * (pairs + 1) / 2
    within = (inside > outside).sum(0) + 0.5 * (inside == outside).sum(0)
    return np.asarray((ranks - within) / (pairs * (pairs - 1)))


def auc_by_pair(inside: Floats, outside: Floats) -> Floats:
    """``(p, n)`` what each pair says of each record's AUC_i: the jackknife's pseudo-values, of which it is the mean.

    Args:
        inside, outside: ``(p, n)`` as of :func:`cross_pair_auc`, p >= 3.
    """
    from scipy.stats import rankdata

    pairs = len(inside)
    ranks = rankdata(np.concatenate([inside, outside]), axis=0)
    within = (inside > outside) + 0.5 * (inside == outside)
    won = ranks[:pairs] - rankdata(inside, axis=0) - within
    beaten = pairs - (ranks[pairs:] - rankdata(outside, axis=0)) - within
    total = won.sum(0)
    return np.asarray(total / (pairs - 1) - (total - won - beaten) / (pairs - 2))


def pair_correlation(inside: Floats, outside: Floats) -> float:
    """Mean over records of the correlation, over pairs, of a record's IN and OUT score; corrected for few pairs.

    Args:
        inside, outside: ``(p, n)``.
    """
    return mean_correlation(correlations_within(inside, outside), len(inside))


def correlations_within(inside: Floats, outside: Floats) -> Floats:
    """``(n,)`` correlations, over pairs, of a record's IN and OUT score ``(p, n)``; NaN where one does not vary."""
    a, b = inside - inside.mean(0), outside - outside.mean(0)
    scale = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.asarray(np.divide((a * b).sum(0), scale, out=np.full(len(scale), np.nan), where=scale > 0))


def mean_correlation(each: Floats, pairs: int) -> float:
    """Of ``(n,)`` correlations that rest on so many pairs, corrected as few pairs draw them to 0; NaN are left out."""
    usable = each[~np.isnan(each)]
    if not len(usable):
        return 0.0
    mean = float(usable.mean())
    return float(np.clip(mean / (1 - (1 - mean * mean) / (2 * (pairs - 1))), LOWEST, -LOWEST))


def correlation_spread(each: Floats, pairs: int) -> float:
    """Standard deviation between records of their correlation ``(n,)``, beyond what chance makes of so few pairs."""
    usable = each[~np.isnan(each)]
    if len(usable) < 2:
        return 0.0
    square, freedom = min(1.0, float(usable.mean()) ** 2), pairs - 1
    chance = (1 - square) ** 2 / freedom * (1 + 5.5 * square / freedom)
    return float(np.sqrt(max(0.0, usable.var() - chance)))


def shared_drift(scores: Floats) -> float:
    """Mean squared correlation, over models, between records, less what chance gives: how far records move together.

    From at most ``DRIFTING`` records.

    Args:
        scores: ``(m, n)`` of models, with what each record's being IN or OUT adds taken away.
    """
    chosen = scores[:, spread_out(scores.shape[1])]
    centred = chosen - chosen.mean(0)
    deviation = centred.std(0)
    centred = centred[:, deviation > 0] / deviation[deviation > 0]
    n = centred.shape[1]
    if n < 2:
        return 0.0
    correlations = centred.T @ centred / len(centred)
    squares = (correlations**2).sum() - (np.diag(correlations) ** 2).sum()
    return float(max(0.0, squares / (n * (n - 1)) - 1 / (len(centred) - 1)))


def spread_out(records: int) -> Ints:
    """``(k,)`` positions of the records that drift is looked for in, ``DRIFTING`` at most, over all of them."""
    return np.linspace(0, records - 1, min(DRIFTING, records)).astype(np.int64)


def shares_above(
    aucs: Floats, table: AucTable, levels: Sequence[float], confidence: float, inflation: float = 1.0
) -> list[Share]:
    """The share of records whose true AUC_i is above each level: every share that the profile likelihood allows.

    Args:
        aucs: ``(n,)`` estimated. inflation: by which the likelihood ratio is divided, where records move together.
    """
    counts = np.bincount(table.bins(aucs), minlength=BINS).astype(np.float64)
    hit = counts > 0  # empty bins say nothing
    likelihood, counts = np.ascontiguousarray(table.probabilities[:, hit]), counts[hit]
    free = _mixture(likelihood, counts, 1500)
    smooth = _mixture(likelihood, counts, SMOOTH_STEPS)
    best = _log_likelihood(free[None], likelihood, counts)[0]
    critical = float(special.chdtri(1, 1 - confidence))
    above = np.asarray(levels)[:, None] < table.truths
    fitted = _mixtures_with_share(0.8 * free + 0.2 / len(free), above, likelihood, counts)
    shares = []
    for level, side, mixtures in zip(levels, above, fitted, strict=True):
        held = _log_likelihood(mixtures, likelihood, counts)
        ratio = 2 * (max(best, float(held.max())) - held) / inflation
        low, high = _ends(ratio, critical)
        shares.append(Share(level, float(np.clip(smooth[side].sum(), low, high)), low, high))
    return shares


def _mixture(likelihood: Floats, counts: Floats, steps: int) -> Floats:
    """The mixing distribution of largest likelihood over the table's rows, by so many steps of EM from a flat one."""
    mixture = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(steps):
        mixture = mixture * (likelihood @ (counts / np.maximum(mixture @ likelihood, 1e-300))) / counts.sum()
    return np.asarray(mixture)


def _mixtures_with_share(start: Floats, above: Mask, likelihood: Floats, counts: Floats) -> Floats:
    """``(levels, len(SHARES), rows)``: the best mixture that has each share above each level.

    Args:
        start: ``(rows,)``. above: ``(levels, rows)``.
    """
    share = np.tile(SHARES, len(above))[:, None]
    up = np.repeat(above, len(SHARES), axis=0)
    sides = (up.astype(np.float64), (~up).astype(np.float64))
    backwards = np.ascontiguousarray(likelihood.T)
    mixtures = np.tile(start, (len(up), 1))
    for step in range(EM_STEPS + 1):
        if step:
            mixtures *= (counts / np.maximum(mixtures @ likelihood, 1e-300)) @ backwards
        sums = [np.maximum((mixtures * side).sum(1, keepdims=True), 1e-300) for side in sides]
        mixtures *= np.where(up, share / sums[0], (1 - share) / sums[1])
    return np.asarray(mixtures.reshape(len(above), len(SHARES), -1))


def _log_likelihood(mixtures: Floats, likelihood: Floats, counts: Floats) -> Floats:
    return np.asarray((counts * np.log(np.maximum(mixtures @ likelihood, 1e-300))).sum(-1))


def _ends(ratio: Floats, critical: float) -> tuple[float, float]:
    """The smallest and largest share that is not contradicted, linear between those tried."""
    held = np.flatnonzero(ratio <= critical)
    first, last = int(held[0]), int(held[-1])

    def cut(inner: int, outer: int) -> float:
        rise = max(float(ratio[outer] - ratio[inner]), 1e-12)
        return float(SHARES[inner] + (SHARES[outer] - SHARES[inner]) * (critical - ratio[inner]) / rise)

    low = 0.0 if first == 0 else cut(first, first - 1)
    high = 1.0 if last == len(SHARES) - 1 else cut(last, last + 1)
    return low, high
