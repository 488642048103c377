"""Attacks on population records, of which it is known that the target did not train on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memberwise.attacks.base import Attack
from memberwise.attacks.run import STAND_IN_RECORDS, score, stand_in_records
from memberwise.seeds import Seeds
from memberwise.signals.population_rows import with_population_rows
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats

# Rank correlation, at least, of the audited records' scores with and without the population in the table.
ALIKE = 0.99


@dataclass(frozen=True)
class OnPopulation:
    """An attack's scores from a table in which population records stand beside audited ones.

    Attributes:
        audited: ``(n,)`` of the audited records, NaN where not scored, not evaluated or not sampled.
        population: ``(k,)`` of population records, no NaN.
    """

    audited: Floats
    population: Floats


def population_scores(
    signals: Signals, scored: Mapping[str, tuple[Attack, Floats]], seeds: Seeds
) -> dict[str, OnPopulation]:
    """The scores of population records by every attack that scores them as it does audited ones.

    That is, without IN models, of which they have none, and reading nothing of the target that was not asked about
    them. Where an attack ranks the audited records otherwise once the population is in the table, it is left out.

    Args:
        scored: by name the attack and its scores ``(n,)`` of the audited records, NaN where not evaluated.
    """
    can = {name: pair for name, pair in scored.items() if _without_in_models(pair[0])}
    most = stand_in_records(len(signals.trained_on), STAND_IN_RECORDS)
    table = with_population_rows(signals, seeds.rng("population rows"), most) if can else None
    if table is None:
        return {}
    rows, sample = table
    results = {}
    for name, (attack, before) in can.items():
        scores, _ = score(rows, attack, seeds.rng(f"attack:{name}"))
        if scores is None:
            continue
        audited = np.full(signals.records, np.nan)
        audited[sample] = np.where(np.isnan(before[sample]), np.nan, scores[: len(sample)])
        population = scores[len(sample) :]
        population = population[~np.isnan(population)]
        if len(population) and _alike(audited, before):
            results[name] = OnPopulation(audited, population)
    return results


def _without_in_models(attack: Attack) -> bool:
    needs = attack.needs
    other = needs.extra or needs.training_table or needs.known or needs.transfer or needs.features
    return not other and needs.shadows != "in+out" and attack.threshold != "search"


def _alike(after: Floats, before: Floats) -> bool:
    from scipy.stats import rankdata

    both = ~np.isnan(after) & ~np.isnan(before)
    ranks = [rankdata(scores[both]) for scores in (after, before)]
    if not both.any() or any(np.ptp(rank) == 0 for rank in ranks):
        return False
    return bool(np.corrcoef(ranks[0], ranks[1])[0, 1] >= ALIKE)
