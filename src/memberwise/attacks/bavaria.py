"""BaVarIA: LiRA with means and variances that are uncertain, and a prior on both fitted to all records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, log_ndtr, stdtr

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.in_out import Moments, has_both_sides, in_moments, out_moments
from memberwise.attacks.shrinkage import variance_prior
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


@dataclass(frozen=True)
class Prior:
    """Normal-inverse-gamma: sigma^2 ~ inverse-gamma(alpha, beta), mu ~ N(mean, sigma^2 / weight); each ``(q,)``."""

    mean: Floats
    weight: Floats
    alpha: Floats
    beta: Floats


@dataclass(frozen=True)
class Predictive:
    """Student's t for the next answer about each record: degrees of freedom, location, scale; each ``(n, q)``."""

    freedom: Floats
    location: Floats
    scale: Floats

    def log_density(self, phi: Floats) -> Floats:
        """Log density at ``(n, q)`` scaled logits, ``(n, q)``."""
        z, v = (phi - self.location) / self.scale, self.freedom
        tail = (v + 1) / 2 * np.log1p(z * z / v)
        return np.asarray(-betaln(0.5, v / 2) - 0.5 * np.log(v) - np.log(self.scale) - tail)

    def log_below(self, phi: Floats) -> Floats:
        """Log of the probability of less than phi, ``(n, q)`` for ``(n, q)`` scaled logits."""
        z, v = (phi - self.location) / self.scale, self.freedom
        share = stdtr(v, -np.abs(z))
        # Where it underflows: Wallace's normal deviate, finite and in the right order.
        deviate = np.sqrt(v * np.log1p(z * z / v)) * (8 * v + 1) / (8 * v + 3)
        low = np.where(share > 0, np.log(np.maximum(share, 1e-320)), log_ndtr(-deviate))
        return np.asarray(np.where(z > 0, np.log1p(-share), low))


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """log t_in(phi) - log t_out(phi), averaged over queries, with t the predictive densities of ``predictive``.

    BaVarIA, variant t (arXiv:2603.11799); the conjugate formulas are the textbook's, the prior is fitted as in
    ``pooled_prior``. HIGHER = MORE LIKELY A MEMBER. More shadow models make it stronger; made for few. Records without
    a model on both sides: NaN. Where no record has models on both sides, log of the OUT predictive's distribution
    function at phi: one-sided, as LiRA's offline form.

    Returns:
        ``(n,)`` float64.
    """
    phi, out = signals.target.phi[0], out_moments(signals)
    online = has_both_sides(signals)
    prior_out, prior_in = pooled_prior(out), pooled_prior(in_moments(signals)) if online else None
    if prior_out is None or (online and prior_in is None):
        return np.full(signals.records, np.nan)
    if prior_in is None:
        return np.asarray(np.where(out.count > 0, predictive(out, prior_out).log_below(phi), np.nan).mean(-1))
    ratio = predictive(in_moments(signals), prior_in).log_density(phi) - predictive(out, prior_out).log_density(phi)
    return np.asarray(np.where((in_moments(signals).count > 0) & (out.count > 0), ratio, np.nan).mean(-1))


def pooled_prior(side: Moments) -> Prior | None:
    """The prior from all records of a side; None where no record has two models.

    alpha and beta from the within-record variances (``variance_prior``). The mean is that of the records' means, and
    its weight the pooled variance over the variance between records (what chance adds to it taken off), at most 1:
    then a record's own mean counts for all but one part in count + 1.
    """
    variance = variance_prior(side)
    if variance is None:
        return None
    some = side.count[:, 0] > 0
    means, by_chance = side.mean[some], variance.variance * (1 / side.count[some]).mean()
    between = np.maximum(means.var(0) - by_chance, variance.variance)
    return Prior(means.mean(0), variance.variance / between, variance.alpha, variance.beta)


def predictive(side: Moments, prior: Prior) -> Predictive:
    """What the models of a side lead one to expect; the prior's own predictive where a record has none.

    With n answers of mean m and squared residuals S: weight_n = weight + n, alpha_n = alpha + n/2,
    beta_n = beta + S/2 + weight n (m - mean)^2 / (2 weight_n); Student's t with 2 alpha_n degrees of freedom at
    (weight mean + n m) / weight_n with scale^2 = beta_n (weight_n + 1) / (alpha_n weight_n).
    """
    n, mean = side.count, np.where(side.count > 0, side.mean, prior.mean)
    weight, alpha = prior.weight + n, prior.alpha + n / 2
    beta = prior.beta + side.squares / 2 + prior.weight * n * (mean - prior.mean) ** 2 / (2 * weight)
    location = (prior.weight * prior.mean + n * mean) / weight
    return Predictive(2 * alpha, location, np.sqrt(beta * (weight + 1) / (alpha * weight)))


ATTACK = Attack(
    name="bavaria",
    score=score,
    needs=Needs(shadows="out"),
    source="BaVarIA (arXiv:2603.11799), variant t",
    summary="Likelihood ratio as LiRA's, of Student's t densities whose prior comes from all records.",
)
