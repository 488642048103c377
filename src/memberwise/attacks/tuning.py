"""Choose an attack's parameter on shadow models in the target's place, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from memberwise.attacks.in_out import log_mean_out
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Mask

GRID = np.arange(11) / 10
# Fewer stand-ins than this say too little; more than MOST, or more records, add cost and hardly precision.
FEWEST, MOST, MOST_RECORDS = 2, 8, 2000

# ratio(log_p, log_mean_out, value) -> scores; all ``(n, q)``
Ratio = Callable[[Floats, Floats, float], Floats]


def tuned(signals: Signals, ratio: Ratio, fallback: float, rng: np.random.Generator) -> float:
    """The value among 0, 0.1, ..., 1 with the best mean AUC over shadow models in the target's place.

    A stand-in leaves together with its complement. Of equally good values the smallest; ``fallback`` where fewer than
    two shadow models can stand in. ``rng`` draws the records, where there are many.
    """
    bare = replace(signals, population_target=None, population_shadows=None, population_trained_on=None)
    if bare.shadows is not None:
        bare = replace(bare, shadows=replace(bare.shadows, vectors=None, extra={}))
    if signals.records > MOST_RECORDS:
        bare = bare.of_records(np.sort(rng.choice(signals.records, MOST_RECORDS, replace=False)))
    aucs = []
    for k in range(min(MOST, len(signals.trained_on))):
        stand_in = as_target(bare, k, rng)
        if stand_in.signals.shadows is None:
            continue
        log_p, out = stand_in.signals.target.log_p[0].astype(np.float64), log_mean_out(stand_in.signals)
        rows = stand_in.evaluated & ~np.isnan(out).any(-1)
        member = stand_in.member[rows]
        if member.any() and not member.all():
            aucs.append([auc(ratio(log_p[rows], out[rows], value).mean(-1), member) for value in GRID])
    if len(aucs) < FEWEST:
        return fallback
    return float(GRID[np.argmax(np.mean(aucs, axis=0).round(12))])


def auc(scores: Floats, member: Mask) -> float:
    """Share of (member, non-member) pairs in the right order, ties half.

    Args:
        scores, member: ``(n,)``, with at least one record on either side.
    """
    others = np.sort(scores[~member])
    below = np.searchsorted(others, scores[member], "left") + np.searchsorted(others, scores[member], "right")
    return float(below.mean() / (2 * others.size))
