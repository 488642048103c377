"""LiRA: the likelihood of the target's answer under models that trained on the record, and under others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from memberwise.attacks.attack import Attack, Needs, Score
from memberwise.attacks.sides import Moments, moments, shadows_of
from memberwise.signals.table import Signals

# A record's own spread is used from so many models on a side, and is never below this share of the pooled one.
FEWEST_FOR_OWN_SPREAD = 4
SMALLEST_SHARE = 0.01
# Stands in for a pooled spread of zero (all shadow models agree on every record).
SMALLEST_SPREAD = 1e-12

SOURCE = "Carlini et al. 2022, Membership inference attacks from first principles"


def online(fixed: bool) -> Score:
    """log N(phi; mu_in, sigma_in^2) - log N(phi; mu_out, sigma_out^2), averaged over queries.

    Carlini et al. 2022, algorithm 1, on the scaled logit phi = log p_y - log(1 - p_y). HIGHER = MORE LIKELY A MEMBER.
    Assumes shadow models of which some trained on the record and some did not; more of them make it stronger.
    ``fixed`` pools the spread over records, separately for IN and OUT: stronger below about 64 models.
    Records without a model on both sides: NaN.
    """

    def score(signals: Signals, rng: np.random.Generator) -> NDArray[np.float64]:
        shadows, phi = shadows_of(signals.shadows), signals.target.phi[0]
        inside, outside = moments(shadows, signals.is_in), moments(shadows, signals.is_out)
        return np.asarray((log_density(phi, inside, fixed) - log_density(phi, outside, fixed)).mean(-1))

    return score


def offline(fixed: bool) -> Score:
    """log Phi((phi - mu_out) / sigma_out), averaged over queries: one-sided, from OUT models only.

    Carlini et al. 2022, equation 4. HIGHER = MORE LIKELY A MEMBER. Assumes shadow models that did not
    train on the record. ``fixed`` as for ``online``. Records without an OUT model: NaN.
    """

    def score(signals: Signals, rng: np.random.Generator) -> NDArray[np.float64]:
        outside = moments(shadows_of(signals.shadows), signals.is_out)
        z = (signals.target.phi[0] - outside.mean) / spread(outside, fixed)
        return np.asarray(log_ndtr(z).mean(-1))

    return score


def log_density(phi: NDArray[np.float64], side: Moments, fixed: bool) -> NDArray[np.float64]:
    """``(n, q)``: log density of the side's Gaussian at phi, less log(2 pi) / 2."""
    sigma = spread(side, fixed)
    return np.asarray(-0.5 * ((phi - side.mean) / sigma) ** 2 - np.log(sigma))


def spread(side: Moments, fixed: bool) -> NDArray[np.float64]:
    """``(n, q)`` standard deviations with ddof 1; NaN where no record has two models on this side.

    Pooled: square root of all squared residuals over the sum of (count - 1), per query.
    """
    degrees = np.maximum(side.count - 1.0, 0.0)
    if not degrees.any():
        return np.full_like(side.mean, np.nan)
    pooled = np.asarray(np.maximum(np.sqrt(side.squares.sum(0) / degrees.sum()), SMALLEST_SPREAD), np.float64)
    if fixed:
        return np.tile(pooled, (len(side.mean), 1))
    own = np.sqrt(side.squares / np.maximum(degrees, 1.0))
    return np.where(side.count >= FEWEST_FOR_OWN_SPREAD, np.maximum(own, SMALLEST_SHARE * pooled), pooled)


BOTH, OUT = Needs(shadows="in+out"), Needs(shadows="out")
ATTACKS = [
    Attack(
        "lira-online",
        online(fixed=False),
        BOTH,
        f"{SOURCE}, algorithm 1",
        "Likelihood ratio of Gaussians fitted to models with and without the record, with each record's own spread.",
    ),
    Attack(
        "lira-online-fixed",
        online(fixed=True),
        BOTH,
        f"{SOURCE}, algorithm 1",
        "Likelihood ratio of Gaussians fitted to models with and without the record, with one spread for all records.",
    ),
    Attack(
        "lira-offline",
        offline(fixed=False),
        OUT,
        f"{SOURCE}, equation 4",
        "How unusually confident the target is, compared with models without the record; each record's own spread.",
    ),
    Attack(
        "lira-offline-fixed",
        offline(fixed=True),
        OUT,
        f"{SOURCE}, equation 4",
        "How unusually confident the target is, compared with models without the record; one spread for all records.",
    ),
]
