"""LiRA: the likelihood of the target's answer under models that trained on the record, and under others."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import log_ndtr

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.in_out import Moments, in_moments, out_moments
from memberwise.attacks.shrinkage import shrunk_variance, variance_prior
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats

# A record's own spread is used from so many models on a side, and is never below this share of the pooled one.
FEWEST_FOR_OWN_SPREAD = 4
SMALLEST_SHARE = 0.01

SOURCE = "Carlini et al. 2022, Membership inference attacks from first principles"

# "own": each record's; "fixed": pooled over records; "shrunk": each record's, drawn towards the pooled one.
Spread = Literal["own", "fixed", "shrunk"]


def online(kind: Spread) -> Score:
    """log N(phi; mu_in, sigma_in^2) - log N(phi; mu_out, sigma_out^2), averaged over queries.

    Carlini et al. 2022, algorithm 1, on the scaled logit phi = log p_y - log(1 - p_y). HIGHER = MORE LIKELY A MEMBER.
    Assumes shadow models of which some trained on the record and some did not; more of them make it stronger.
    Records without a model on both sides: NaN.

    Args:
        kind: of spread, separately for IN and OUT. "fixed" is stronger than "own" with few models (below 16 to 64);
            "shrunk" weighs the two as the data have it and comes close to the better one, or passes it, throughout.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        phi = signals.target.phi[0]
        return np.asarray(
            (log_density(phi, in_moments(signals), kind) - log_density(phi, out_moments(signals), kind)).mean(-1)
        )

    return score


def offline(kind: Spread) -> Score:
    """log Phi((phi - mu_out) / sigma_out), averaged over queries: one-sided, from OUT models only.

    Carlini et al. 2022, equation 4. HIGHER = MORE LIKELY A MEMBER. Assumes shadow models that did not
    train on the record. ``kind`` as for ``online``. Records without an OUT model: NaN.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        side = out_moments(signals)
        return np.asarray(log_ndtr((signals.target.phi[0] - side.mean) / spread(side, kind)).mean(-1))

    return score


def log_density(phi: Floats, side: Moments, kind: Spread) -> Floats:
    """``(n, q)``: log density of the side's Gaussian at phi, less log(2 pi) / 2."""
    sigma = spread(side, kind)
    return np.asarray(-0.5 * ((phi - side.mean) / sigma) ** 2 - np.log(sigma))


def spread(side: Moments, kind: Spread) -> Floats:
    """``(n, q)`` standard deviations with ddof 1; NaN where no record has two models on this side.

    Pooled: square root of all squared residuals over the sum of (count - 1), per query. Shrunk: posterior mean of
    the variance, ``shrinkage.shrunk_variance``.
    """
    prior = variance_prior(side)
    if prior is None:
        return np.full_like(side.mean, np.nan)
    if kind == "shrunk":
        return np.asarray(np.sqrt(shrunk_variance(side, prior)))
    pooled = np.sqrt(prior.variance)
    if kind == "fixed":
        return np.tile(pooled, (len(side.mean), 1))
    deviation = np.sqrt(side.squares / np.maximum(side.count - 1.0, 1.0))
    return np.where(side.count >= FEWEST_FOR_OWN_SPREAD, np.maximum(deviation, SMALLEST_SHARE * pooled), pooled)


BOTH, OUT = Needs(shadows="in+out"), Needs(shadows="out")
RATIO = "Likelihood ratio of Gaussians fitted to models with and without the record, with"
UNUSUAL = "How unusually confident the target is, compared with models without the record;"
SHRUNK = f"{SOURCE}; empirical-Bayes variances"
ATTACKS = [
    Attack("lira-online", online("own"), BOTH, f"{SOURCE}, algorithm 1", f"{RATIO} each record's own spread."),
    Attack(
        "lira-online-fixed", online("fixed"), BOTH, f"{SOURCE}, algorithm 1", f"{RATIO} one spread for all records."
    ),
    Attack("lira-offline", offline("own"), OUT, f"{SOURCE}, equation 4", f"{UNUSUAL} each record's own spread."),
    Attack(
        "lira-offline-fixed", offline("fixed"), OUT, f"{SOURCE}, equation 4", f"{UNUSUAL} one spread for all records."
    ),
    Attack(
        "lira-online-shrunk", online("shrunk"), BOTH, SHRUNK, f"{RATIO} spreads drawn towards the one of all records."
    ),
    Attack(
        "lira-offline-shrunk",
        offline("shrunk"),
        OUT,
        SHRUNK,
        f"{UNUSUAL} spreads drawn towards the one of all records.",
    ),
]
