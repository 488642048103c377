"""Attacks on population records, of which it is known that the target did not train on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.attack import Attack
from memberwise.attacks.run import STAND_IN_RECORDS, score
from memberwise.seeds import Seeds
from memberwise.signals.population_rows import with_population_rows
from memberwise.signals.table import Signals

# Scores of audited records with and without the population in the table may differ by this share of their spread.
ALIKE = 0.05


def population_scores(
    signals: Signals, scored: Mapping[str, tuple[Attack, NDArray[np.float64]]], seeds: Seeds
) -> dict[str, NDArray[np.float64]]:
    """The scores of population records by every attack that scores them as it does audited ones, NaN left out.

    That is, without IN models, of which they have none, and reading nothing of the target that was not asked about
    them. Where an attack gives the audited records other scores once the population is in the table, it is left out.

    Args:
        scored: by name the attack and its scores ``(n,)`` of the audited records.
    """
    rng = seeds.rng("population rows")
    can = {name: pair for name, pair in scored.items() if _without_in_models(pair[0])}
    table = with_population_rows(signals, rng, STAND_IN_RECORDS) if can else None
    if table is None:
        return {}
    rows, audited = table
    found = {}
    for name, (attack, before) in can.items():
        scores, _ = score(rows, attack, seeds.rng(f"attack:{name}"))
        if scores is not None and _alike(scores[: len(audited)], before[audited]):
            of_population = scores[len(audited) :]
            found[name] = of_population[~np.isnan(of_population)]
    return {name: scores for name, scores in found.items() if len(scores)}


def _without_in_models(attack: Attack) -> bool:
    needs = attack.needs
    other = needs.extra or needs.lessons or needs.known or needs.transfer or needs.features
    return not other and needs.shadows != "in+out" and attack.threshold != "search"


def _alike(after: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    both = np.isfinite(after) & np.isfinite(before)
    if not both.any():
        return False
    spread = float(before[both].std())
    return bool(np.sqrt(np.mean((after[both] - before[both]) ** 2)) <= ALIKE * spread)
