"""InfoRMIA: how many nats more than the population's average a record's likelihood ratio says."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.in_out import has_both_sides, log_mean_both, log_mean_out
from memberwise.attacks.rmia import A, as_if_in_too, population_mean, population_of
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def informia(a: float = A) -> Score:
    """log p(x|target)/p(x) - mean over population records z of log p(z|target)/p(z), averaged over queries.

    Probabilities are at the table's temperature.

    InfoRMIA replaces RMIA's count of dominated population records by the information gained; the population's plain
    average is our reading of the paper (arXiv:2510.05582). p(x) and p(z) are RMIA's: online where some record has
    models on both sides (records that have not: NaN), else offline. HIGHER = MORE LIKELY A MEMBER. Without ties, and
    needing fewer population records than RMIA; more shadow models make it stronger. Within one target the
    population's term moves all scores alike: it makes the scores of several targets compare.

    Args:
        a: in [0, 1], for tables without IN models: p_in is taken to be a p_out + (1 - a); smaller is stronger where
            the model memorises more.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        online = has_both_sides(signals)
        at = signals.temperature
        of_x = log_mean_both(signals, at) if online else log_mean_out(signals, at)
        of_z = population_mean(signals, at)
        if not online:
            of_x, of_z = as_if_in_too(of_x, a), as_if_in_too(of_z, a)
        world = population_of(signals).log_p_at(at)[0] - of_z
        usable = ~np.isnan(of_z)
        average = world.sum(0, where=usable) / np.where(usable.any(0), usable.sum(0), np.nan)
        return np.asarray((signals.target.log_p_at(at)[0] - of_x - average).mean(-1))

    return score


ATTACK = Attack(
    name="informia",
    score=informia(),
    needs=Needs(shadows="out", population=True),
    source="InfoRMIA, ICLR 2026 (arXiv:2510.05582)",
    summary="How much more likely the true class is to the target than to shadow models, beyond the population's mean.",
    tempered=True,
)
