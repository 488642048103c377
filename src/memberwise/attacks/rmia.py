"""RMIA: how many population records a record dominates in relative likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.attack import Attack, Needs
from memberwise.attacks.sides import log_mean_p, log_mix, shadows_of
from memberwise.signals.table import Signals

# p_in is taken to be A p_out + (1 - A) where no model trained on the record.
A = 0.3
SOURCE = "Zarifzadeh et al. 2024, Low-cost high-power membership inference attacks"


def online(signals: Signals, rng: np.random.Generator) -> NDArray[np.float64]:
    """Share of population records z with p(z|target)/p(z) at most p(x|target)/p(x), averaged over queries.

    p(x) is the mean of the IN models' and of the OUT models' mean probability of the true class, p(z) the mean over
    models that did not see z (Zarifzadeh et al. 2024, with gamma = 1; ties count). HIGHER = MORE LIKELY
    A MEMBER. Assumes shadow models on both sides and a population nobody trained on; more of either make it stronger
    (the score moves in steps of one over the population's size). Records without a model on both sides: NaN.
    """
    shadows = shadows_of(signals.shadows)
    sides = np.stack([log_mean_p(shadows, signals.is_in), log_mean_p(shadows, signals.is_out)])
    return dominated(signals, log_mix(sides, np.full((2, 1, 1), 0.5)), population_mean(signals))


def offline(signals: Signals, rng: np.random.Generator, a: float = A) -> NDArray[np.float64]:
    """As ``online`` with p = ((1 + a) mean_out + (1 - a)) / 2 for records and population alike.

    Needs OUT models only. ``a`` in [0, 1]: 1 where IN models answer like OUT models, smaller where the model
    memorises more; a value that fits makes it stronger. Records without an OUT model: NaN.
    """
    out = log_mean_p(shadows_of(signals.shadows), signals.is_out)
    return dominated(signals, as_if_in_too(out, a), as_if_in_too(population_mean(signals), a))


def as_if_in_too(log_out: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """log of ((1 + a) p_out + (1 - a)) / 2."""
    return log_mix(np.stack([log_out, np.zeros_like(log_out)]), np.array([1 + a, 1 - a]).reshape(2, 1, 1) / 2)


def population_mean(signals: Signals) -> NDArray[np.float64]:
    """``(k, q)``: log of the mean p_y of population records over the models that did not see them."""
    shadows, seen = shadows_of(signals.population_shadows), signals.population_trained_on
    unseen = np.ones(shadows.log_p.shape[:2], bool) if seen is None else seen == 0
    return log_mean_p(shadows, unseen)


def dominated(signals: Signals, log_p_x: NDArray[np.float64], log_p_z: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n,)``: share of population records whose ratio is at most the record's, averaged over queries."""
    if signals.population_target is None:
        raise ValueError("there are no answers on population records")
    x = signals.target.log_p[0].astype(np.float64) - log_p_x
    z = signals.population_target.log_p[0].astype(np.float64) - log_p_z
    z = np.broadcast_to(z, (len(z), x.shape[1]))  # a population asked once serves every query
    shares = [_share_at_most(x[:, q], z[:, q]) for q in range(x.shape[1])]
    return np.asarray(np.mean(shares, axis=0))


def _share_at_most(x: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of z (leaving NaN out) at most each x; NaN where x is, or where nothing of z is left."""
    z = np.sort(z[~np.isnan(z)])
    if not z.size:
        return np.full(len(x), np.nan)
    return np.where(np.isnan(x), np.nan, np.searchsorted(z, x, side="right") / z.size)


ATTACKS = [
    Attack(
        "rmia-online",
        online,
        Needs(shadows="in+out", population=True),
        f"{SOURCE}, online",
        "Share of population records that the record dominates in likelihood relative to models with and without it.",
    ),
    Attack(
        "rmia-offline",
        offline,
        Needs(shadows="out", population=True),
        f"{SOURCE}, offline",
        "Share of population records that the record dominates in likelihood relative to models without it.",
    ),
]
