"""Attack-P: the target's loss against its losses on the population."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """Share of population records with a loss strictly greater than the record's, averaged over queries.

    HIGHER = MORE LIKELY A MEMBER; for a non-member it is close to uniform on [0, 1], so a score above 1 - a has a false
    positive rate of about a, and of at most that where losses tie (Ye et al. 2022, "Enhanced membership inference
    attacks"). The order is that of ``loss``; a larger population only makes the false positive rate more exact.

    Returns:
        ``(n,)`` float64.
    """
    if signals.population_target is None:
        raise ValueError("there are no answers on population records")
    log_p = signals.target.log_p[0]
    world = np.sort(signals.population_target.log_p[0], axis=0)
    world = np.broadcast_to(world, (len(world), log_p.shape[1]))  # a population asked once serves every query
    ranks = [np.searchsorted(world[:, q], log_p[:, q], side="left") for q in range(log_p.shape[1])]
    return np.asarray(np.mean(ranks, axis=0) / len(world))


ATTACK = Attack(
    name="attack-p",
    score=score,
    needs=Needs(population=True),
    source="Ye et al. 2022, Attack P",
    summary="Compares the model's loss on a record with its losses on the population.",
    threshold=0.9,
    threshold_from="population",
)
