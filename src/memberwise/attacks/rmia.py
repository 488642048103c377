"""RMIA: how many population records a record dominates in relative likelihood."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.in_out import log_mean_both, log_mean_out, log_mean_p, shadows_of
from memberwise.attacks.tuning import tuned
from memberwise.signals.once import once_for
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats

# p_in is taken to be A p_out + (1 - A) where no model trained on the record and no shadow model tells better.
A = 0.3
# Relative: below what anyone reads off a share, above what float64 keeps apart by a factor of thousands.
LAST_DIGITS = 9e-13
SOURCE = "Zarifzadeh et al. 2024, Low-cost high-power membership inference attacks"


def online(gamma: float = 1.0) -> Score:
    """Share of population records z with gamma p(z|target)/p(z) at most p(x|target)/p(x), averaged over queries.

    p(x) is the mean of the IN models' and of the OUT models' mean probability of the true class, p(z) the mean over
    models that did not see z (Zarifzadeh et al. 2024, section 3; ties count). HIGHER = MORE LIKELY A MEMBER. Assumes
    shadow models on both sides and a population nobody trained on; more of either make it stronger. Probabilities
    are at the table's temperature, ties are broken by the ratio itself (``dominated``). Records without a model on both
    sides: NaN.

    Args:
        gamma: above 0. Within one target it changes which scores tie, never their order; 1 has the fewest ties where
            records and population answer alike.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        at = signals.temperature
        return dominated(signals, log_mean_both(signals, at), population_mean(signals, at), gamma)

    return score


def offline(gamma: float = 1.0, a: float | None = None) -> Score:
    """As ``online`` with p = ((1 + a) mean_out + (1 - a)) / 2 for records and population alike.

    Needs OUT models only. Records without an OUT model: NaN.

    Args:
        gamma: as for ``online``.
        a: in [0, 1]: 1 where IN models answer like OUT models, smaller where the model memorises more; a value that
            fits makes it stronger. None: the one of 0, 0.1, ..., 1 with the best mean AUC over shadow models in the
            target's place, 0.3 where there are no two of which the members are known.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        fitting = tuned(signals, offline_ratio, A, rng) if a is None else a
        world = as_if_in_too(population_mean(signals, signals.temperature), fitting)
        return dominated(signals, as_if_in_too(log_mean_out(signals, signals.temperature), fitting), world, gamma)

    return score


def offline_ratio(log_p: Floats, log_out: Floats, a: float) -> Floats:
    """Log ratio of which the score is a non-decreasing function, for any population and gamma.

    Args:
        log_p: ``(n, q)`` under the target. log_out: ``(n, q)`` means over the OUT models. a: in [0, 1].

    Returns:
        ``(n, q)``, higher = more likely a member.
    """
    return log_p - as_if_in_too(log_out, a)


def as_if_in_too(log_out: Floats, a: float) -> Floats:
    """log of ((1 + a) p_out + (1 - a)) / 2 = 1 + (1 + a) / 2 (p_out - 1), which loses nothing close to 1.

    Args:
        log_out: log means of any shape, ``(n, q)`` say, which the result has too. a: in [0, 1].
    """
    return log_out if a == 1 else np.log1p((1 + a) / 2 * np.expm1(log_out))


@once_for("population_shadows", "population_trained_on")
def population_mean(signals: Signals, temperature: float = 1.0) -> Floats:
    """``(k, q)``: log of the mean p_y of population records over the models that did not see them; once for these."""
    shadows, seen = shadows_of(signals.population_shadows), signals.population_trained_on
    unseen = np.ones(shadows.log_p.shape[:2], bool) if seen is None else seen == 0
    return log_mean_p(shadows, unseen, temperature)


def population_of(signals: Signals) -> Answers:
    """The target's answers on the population, which the attack's needs promise."""
    if signals.population_target is None:
        raise ValueError("there are no answers on population records")
    return signals.population_target


def dominated(signals: Signals, log_p_x: Floats, log_p_z: Floats, gamma: float) -> Floats:
    """``(n,)``: share of population records whose ratio times gamma is at most the record's, averaged over queries.

    Records of one share, such as all that dominate the whole population, are told apart in the last digits (by less
    than one part in 1e12) by their ratio, of which the share is a non-decreasing function.
    """
    ratio = signals.target.log_p_at(signals.temperature)[0] - log_p_x
    x = ratio - np.log(gamma)
    z = population_of(signals).log_p_at(signals.temperature)[0] - log_p_z
    z = np.broadcast_to(z, (len(z), x.shape[1]))  # a population asked once serves every query
    shares = [_share_at_most(x[:, q], z[:, q]) for q in range(x.shape[1])]
    return np.asarray(np.mean(shares, axis=0) * (1 - LAST_DIGITS * expit(-ratio).mean(-1)))


def _share_at_most(x: Floats, z: Floats) -> Floats:
    """Share of z (leaving NaN out) at most each x; NaN where x is, or where nothing of z is left."""
    z = np.sort(z[~np.isnan(z)])
    if not z.size:
        return np.full(len(x), np.nan)
    return np.where(np.isnan(x), np.nan, np.searchsorted(z, x, side="right") / z.size)


ATTACKS = [
    Attack(
        "rmia-online",
        online(),
        Needs(shadows="in+out", population=True),
        f"{SOURCE}, online",
        "Share of population records that the record dominates in likelihood relative to models with and without it.",
        tempered=True,
    ),
    Attack(
        "rmia-offline",
        offline(),
        Needs(shadows="out", population=True),
        f"{SOURCE}, offline",
        "Share of population records that the record dominates in likelihood relative to models without it.",
        tempered=True,
    ),
]
