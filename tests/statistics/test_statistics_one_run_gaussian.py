"""The one-run bound for Gaussian mechanisms: against a release of known epsilon, the general bound, and nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from memberwise.statistics.one_run import one_run_epsilon
from memberwise.statistics.one_run_gaussian import epsilon_of_mu, gaussian_epsilon, gaussian_mu, gaussian_refused


@pytest.mark.parametrize(("mu", "delta"), [(0.5, 1e-5), (1.0, 1e-5), (2.0, 1e-3), (4.0, 1e-6)])
def test_epsilon_of_a_gaussian_release(mu: float, delta: float) -> None:
    """delta is the integral of what N(mu, 1) exceeds e^epsilon N(0, 1) by."""
    epsilon = epsilon_of_mu(mu, delta)
    start = epsilon / mu + mu / 2
    found, _ = quad(lambda x: norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x), start, start + 40, epsabs=1e-14)
    assert found == pytest.approx(delta, rel=1e-4)


def test_the_ends_of_the_scale() -> None:
    assert epsilon_of_mu(0.0, 1e-5) == 0.0
    assert epsilon_of_mu(1.0, 0.0) == math.inf
    assert epsilon_of_mu(0.01, 0.5) == 0.0
    assert gaussian_mu(0, 0, 100) == 0.0
    assert gaussian_epsilon(50, 100, 1000) == 0.0


def test_the_recursion_against_one_in_exact_steps() -> None:
    """Written out without early end and with scipy's normal distribution."""

    def refused(correct: int, guesses: int, coins: int, mu: float, error: float) -> bool:
        r, h = error * correct / coins, error * (guesses - correct) / coins
        for i in range(correct - 1, -1, -1):
            blown = max(h, float(norm.cdf(norm.ppf(min(r, 1.0)) - mu)))
            r, h = min(1.0, r + (i / (guesses - i)) * (blown - h)), blown
        return r + h > guesses / coins

    for correct in range(20, 41, 2):
        for mu in (0.1, 0.5, 1.0, 2.0, 3.0):
            assert gaussian_refused(correct, 40, 200, mu, 0.05) == refused(correct, 40, 200, mu, 0.05)


def test_more_right_guesses_show_more() -> None:
    bounds = [gaussian_epsilon(correct, 100, 2000) for correct in range(50, 101, 5)]
    assert bounds == sorted(bounds)
    assert bounds[-1] > bounds[0] + 1


@pytest.mark.slow
@pytest.mark.parametrize(("coins", "guesses", "least"), [(1_000, 100, 0.5), (20_000, 300, 0.7)])
def test_known_epsilon_is_rarely_exceeded_and_mostly_reached(coins: int, guesses: int, least: float) -> None:
    rng, mu, delta = np.random.default_rng(coins), 1.0, 1e-5
    true, known, found = epsilon_of_mu(mu, delta), {}, []
    for _ in range(1_000):
        member = rng.random(coins) < 0.5
        order = np.argsort(rng.normal(size=coins) + mu * member)
        side = guesses // 2
        correct = int(member[order[-side:]].sum() + (~member[order[:side]]).sum())
        if correct not in known:
            known[correct] = (
                gaussian_epsilon(correct, guesses, coins, delta=delta),
                one_run_epsilon(correct, guesses, coins, delta=delta),
            )
        found.append(known[correct])
    tight, general = np.array(found).T
    assert (tight > true).mean() <= 0.05
    assert tight.mean() >= least * true
    assert tight.mean() > general.mean(), "what is assumed must buy something"


def test_fair_coins_show_nothing() -> None:
    rng = np.random.default_rng(5)
    correct = rng.binomial(200, 0.5, 1_000)
    bounds = {c: gaussian_epsilon(int(c), 200, 5_000) for c in np.unique(correct)}
    assert np.mean([bounds[c] > 0 for c in correct]) <= 0.05
