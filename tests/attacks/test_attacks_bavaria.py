"""BaVarIA against numerical integration, a loop with scipy's Student t, and its limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import answers_of, gaussian_table
from scipy import stats
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS, bavaria
from memberwise.attacks.in_out import Moments, in_moments, out_moments

RNG = np.random.default_rng(0)


def moments_of(groups: Any) -> Moments:
    """Moments of one record a group of values."""
    count = np.array([[len(g)] for g in groups], float)
    mean = np.array([[np.mean(g) if len(g) else np.nan] for g in groups])
    squares = np.array([[np.sum((np.array(g) - np.mean(g)) ** 2) if len(g) else 0.0] for g in groups])
    return Moments(count, mean, squares)


def prior(mean: float = 0.3, weight: float = 0.7, alpha: float = 2.5, beta: float = 1.8) -> Any:
    return bavaria.Prior(*(np.array([value]) for value in (mean, weight, alpha, beta)))


@pytest.mark.slow
@pytest.mark.parametrize("values", [[], [1.2], [0.5, -0.4, 2.0]])
def test_the_predictive_is_the_integral_over_mean_and_variance(values: Any) -> None:
    """Sums over a grid of means (in the prior's deviations) and of log variances; 0.1 % of a density."""
    variance, deviation = np.exp(np.linspace(-5, 9, 1401))[:, None], np.linspace(-12, 12, 2401)
    sigma = np.sqrt(variance)
    mu = 0.3 + deviation * sigma / np.sqrt(0.7)
    weights = stats.invgamma.pdf(variance, 2.5, scale=1.8) * variance * stats.norm.pdf(deviation)
    for value in values:
        weights = weights * stats.norm.pdf(value, mu, sigma)
    found = bavaria.predictive(moments_of([values]), prior())
    for x in (-1.0, 0.8):
        expected = (weights * stats.norm.pdf(x, mu, sigma)).sum() / weights.sum()
        assert float(found.log_density(np.array([[x]]))[0, 0]) == pytest.approx(np.log(expected), abs=1e-3)


def test_density_and_distribution_function_are_students() -> None:
    rng = np.random.default_rng(1)
    side = moments_of([list(rng.normal(size=k)) for k in (0, 1, 2, 5, 30)])
    found = bavaria.predictive(side, prior())
    phi = np.linspace(-6, 6, 5)[:, None]
    student = stats.t(found.freedom, found.location, found.scale)
    np.testing.assert_allclose(found.log_density(phi), student.logpdf(phi), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.log_below(phi), student.logcdf(phi), rtol=1e-8)


@pytest.mark.parametrize("freedom", [3.0, 50.0, 1e6])
def test_the_distribution_function_is_finite_and_rises_far_out(freedom: float) -> None:
    phi = np.concatenate([-np.geomspace(1e6, 1e-2, 60), np.geomspace(1e-2, 5, 20)])[:, None]
    one = np.ones_like(phi)
    below = bavaria.Predictive(freedom * one, 0 * one, one).log_below(phi)
    assert np.isfinite(below).all()
    assert (np.diff(below[:, 0]) > 0).all()


def test_limits_are_fixed_lira_and_t_lira() -> None:
    """A prior that is sure of the variance gives Gaussians with the pooled spread; one that says nothing, t's."""
    rng = np.random.default_rng(2)
    groups = [list(rng.normal(size=k)) for k in (3, 4, 8)]
    phi, side = rng.normal(size=(3, 1)), moments_of(groups)
    n = side.count
    sure = bavaria.predictive(side, prior(weight=1e-12, alpha=1e7, beta=1e7 * 1.44)).log_density(phi)
    np.testing.assert_allclose(sure, stats.norm.logpdf(phi, side.mean, 1.2 * np.sqrt(1 + 1 / n)), atol=1e-5)
    # Without a prior on the variance: n degrees of freedom (of which the mean has not taken one), S / n, n + 1 over n.
    open_ = bavaria.predictive(side, prior(weight=1e-12, alpha=1e-12, beta=1e-12)).log_density(phi)
    scale = np.sqrt(side.squares / n * (1 + 1 / n))
    np.testing.assert_allclose(open_, stats.t.logpdf(phi, n, side.mean, scale), atol=1e-6)


def loop(signals: Any, online: Any) -> Any:
    """Record by record and query by query, with scipy's Student t."""
    target, shadows, trained_on = signals.target.phi[0], signals.shadows.phi, signals.trained_on

    def fit(i: Any, q: Any, side: Any) -> tuple[Any, Any, Any]:
        groups = [shadows[trained_on[:, j] == side, j, q] for j in range(signals.records)]
        given = bavaria.pooled_prior(moments_of(groups))
        mean, weight, alpha, beta = (float(v[0]) for v in (given.mean, given.weight, given.alpha, given.beta))  # type: ignore[union-attr]
        own, n = groups[i], len(groups[i])
        weight_n, alpha_n = weight + n, alpha + n / 2
        beta_n = beta + own.var() * n / 2 + weight * n * (own.mean() - mean) ** 2 / (2 * weight_n)
        location = (weight * mean + n * own.mean()) / weight_n
        return 2 * alpha_n, location, np.sqrt(beta_n * (weight_n + 1) / (alpha_n * weight_n))

    result = np.full(signals.records, np.nan)
    for i in range(signals.records):
        if not (trained_on[:, i] == 0).any() or (online and not (trained_on[:, i] == 1).any()):
            continue
        terms = []
        for q in range(target.shape[1]):
            own = target[i, q]
            if online:
                terms.append(stats.t.logpdf(own, *fit(i, q, 1)) - stats.t.logpdf(own, *fit(i, q, 0)))
            else:
                terms.append(stats.t.logcdf(own, *fit(i, q, 0)))
        result[i] = np.mean(terms)
    return result


@pytest.mark.parametrize("online", [True, False])
def test_equals_a_loop_over_records_with_uneven_sides(online: bool) -> None:
    rng = np.random.default_rng(3)
    signals, _ = gaussian_table(rng, 25, 10, gap=1.0, sd_in=0.5, sd_out=2.0, queries=2)
    trained_on = rng.choice([-1, 0, 1] if online else [-1, 0], size=(10, 25)).astype(np.int8)
    trained_on[:, 0], trained_on[:, 1] = 0, 1 if online else -1
    signals = replace(signals, trained_on=trained_on)
    expected = loop(signals, online)
    np.testing.assert_allclose(ATTACKS["bavaria"].score(signals, RNG), expected, rtol=1e-8, atol=1e-10)
    assert np.isnan(expected[1])
    assert np.isnan(expected[0]) == online


def test_the_priors_means_and_weights_are_those_of_the_records() -> None:
    """Means ~ N(2, 3^2), answers around them with variance 4: the weight is 4 / 9."""
    rng = np.random.default_rng(4)
    means = 2 + 3 * rng.normal(size=20_000)
    answers = means + 2 * rng.normal(size=(5, 20_000))
    side = Moments(np.full((20_000, 1), 5.0), answers.mean(0)[:, None], 5 * answers.var(0)[:, None])
    found = bavaria.pooled_prior(side)
    assert found.mean == pytest.approx(2.0, abs=0.1)  # type: ignore[union-attr]
    assert found.weight == pytest.approx(4 / 9, rel=0.05)  # type: ignore[union-attr]
    assert bavaria.pooled_prior(Moments(np.ones((3, 1)), np.zeros((3, 1)), np.zeros((3, 1)))) is None


def test_equal_sides_score_zero_and_swapped_spreads_negate() -> None:
    signals, member = gaussian_table(np.random.default_rng(5), 3000, 64, sd_in=0.5, sd_out=2.0)
    expected = 2 / np.pi * np.arctan(4.0)
    assert roc_auc_score(member, ATTACKS["bavaria"].score(signals, RNG)) == pytest.approx(expected, abs=0.02)
    swapped = replace(signals, trained_on=(1 - signals.trained_on).astype(np.int8))
    assert roc_auc_score(member, ATTACKS["bavaria"].score(swapped, RNG)) == pytest.approx(1 - expected, abs=0.02)
    side = bavaria.predictive(in_moments(signals), prior()).log_density(signals.target.phi[0])
    again = bavaria.predictive(in_moments(signals), prior()).log_density(signals.target.phi[0])
    np.testing.assert_array_equal(side - again, 0.0)
    assert out_moments(signals) is out_moments(signals), "moments are computed once a table"


def test_models_that_all_agree_give_finite_scores() -> None:
    phi = np.linspace(-3, 3, 10)[None, :, None]
    signals, _ = gaussian_table(np.random.default_rng(6), 10, 8)
    signals = replace(signals, target=answers_of(phi + 1), shadows=answers_of(phi.repeat(8, 0)))
    assert np.isfinite(ATTACKS["bavaria"].score(signals, RNG)).all()
