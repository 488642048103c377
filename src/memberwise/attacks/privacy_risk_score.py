"""The privacy risk score: the probability that a record is a member, given one signal of its answer."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.classwise import sides
from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.thresholds import mentr
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats

# A class with fewer shadow rows than this, IN or OUT, takes the histogram of all classes together.
FEWEST = 100
# Bins hold about equally many rows: at most so many bins, and at least so many rows in each.
MOST_BINS = 30
ROWS_A_BIN = 40


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """P(member | modified entropy, class) at even odds, in [0, 1]. HIGHER = MORE LIKELY A MEMBER.

    p(s|in, y) / (p(s|in, y) + p(s|out, y)), the densities by a histogram over the shadow models' answers of class y
    with one row added to each bin (Song & Mittal 2021; bins of equal mass instead of equal
    width in the logarithm, so that none is empty). Assumes shadow models trained like the target, with full answers;
    more of them and more records a class give finer bins. NaN without shadow rows on both sides.

    Returns:
        ``(n,)`` float64.
    """
    values = mentr(shadows_of(signals.shadows), signals.labels)
    trained_on = signals.trained_on[: len(values)]
    entropies = mentr(signals.target, signals.labels)[0]
    result = np.full(signals.records, np.nan)
    for label in np.unique(signals.labels):
        rows = signals.labels == label
        in_moments, out_moments = sides(values[:, rows], trained_on[:, rows])
        if min(in_moments.size, out_moments.size) >= FEWEST:
            result[rows] = posterior(entropies[rows], in_moments, out_moments)
    if (rows := np.isnan(result)).any():
        in_moments, out_moments = sides(values, trained_on)
        if in_moments.size and out_moments.size:
            result[rows] = posterior(entropies[rows], in_moments, out_moments)
    return result


def posterior(values: Floats, in_moments: Floats, out_moments: Floats) -> Floats:
    """Probability that each value comes from members rather than non-members, both being equally likely.

    Args:
        values: ``(n,)``. in_moments, out_moments: ``(n_in,)`` and ``(n_out,)`` values of members and of non-members.

    Returns:
        ``(n,)`` in (0, 1), higher = more likely a member.
    """
    rows = np.concatenate([in_moments, out_moments])
    bins = int(np.clip(rows.size // ROWS_A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(rows, np.arange(1, bins) / bins))
    density = [_density(side, edges) for side in (in_moments, out_moments)]
    share = density[0] / (density[0] + density[1])
    return np.asarray(share[np.searchsorted(edges, values, side="right")])


def _density(values: Floats, edges: Floats) -> Floats:
    """Share of the values in each bin, one row added to each (Laplace)."""
    bins = edges.size + 1
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=bins)
    return np.asarray((counts + 1.0) / (values.size + bins))


ATTACK = Attack(
    name="privacy-risk-score",
    score=score,
    needs=Needs(vectors=True, shadow_vectors=True, shadows="in+out"),
    source="Song & Mittal 2021",
    summary="The probability that a record is a member, given its modified entropy and class, from shadow models.",
    threshold=0.5,
)
