"""The one-run bound: against a slow computation, on mechanisms with known epsilon, and on coins that nobody saw."""

from __future__ import annotations

from functools import cache
from math import comb, exp, inf, log
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom, norm

from memberwise.errors import StudyError
from memberwise.statistics import choose_guesses, fixed_guesses, one_run_bound, one_run_epsilon, one_run_p_value

RUNS = 1000


def slow_p_value(correct: Any, guesses: Any, coins: Any, epsilon: Any, delta: Any) -> Any:
    """Theorem 5.2 of Steinke, Nasr and Jagielski by whole sums: every i up to the number of coins."""
    q = exp(epsilon) / (1 + exp(epsilon))
    mass = [comb(guesses, k) * q**k * (1 - q) ** (guesses - k) for k in range(guesses + 1)]
    reach = [1.0 if k <= 0 else sum(mass[k:]) for k in range(-coins, guesses + 2)]
    f = lambda k: reach[k + coins]  # noqa: E731
    slack = max((f(correct - i) - f(correct)) / i for i in range(1, coins + 1))  # type: ignore[no-untyped-call]
    return min(1.0, f(correct) + 2 * coins * delta * slack)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("correct", "guesses", "coins"), [(9, 10, 40), (60, 100, 100), (3, 3, 200), (0, 5, 5), (97, 100, 300)]
)
@pytest.mark.parametrize("delta", [0.0, 1e-5, 1e-3])
def test_p_value_agrees_with_whole_sums(correct: int, guesses: int, coins: int, delta: float) -> None:
    for epsilon in (0.0, 0.3, 1.0, 3.0, 7.0):
        expected = slow_p_value(correct, guesses, coins, epsilon, delta)
        assert one_run_p_value(correct, guesses, coins, epsilon, delta) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("correct", "guesses"), [(90, 100), (400, 500), (30, 30), (2700, 3000)])
def test_without_delta_it_inverts_the_binomial_tail(correct: int, guesses: int) -> None:
    expected = brentq(lambda e: binom.sf(correct - 1, guesses, exp(e) / (1 + exp(e))) - 0.05, 0, 30)
    assert one_run_epsilon(correct, guesses, guesses, delta=0.0) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("delta", [1e-6, 1e-4, 1e-2])
def test_bound_is_the_first_epsilon_that_is_not_refused(delta: float) -> None:
    for correct in (150, 180, 199, 200):
        bound = one_run_epsilon(correct, 200, 1000, delta=delta)
        refused = [one_run_p_value(correct, 200, 1000, e, delta) <= 0.05 for e in np.linspace(0, 6, 601)]
        first = next((i for i, r in enumerate(refused) if not r), 601) / 100
        assert bound == pytest.approx(first, abs=0.011)
        assert not any(refused[int(first * 100) :])


def test_more_correct_guesses_and_a_smaller_delta_give_more() -> None:
    bounds = [[one_run_epsilon(v, 400, 1000, delta=d) for v in range(200, 401, 20)] for d in (1e-3, 1e-5, 0.0)]
    assert (np.diff(bounds, axis=1) >= 0).all()
    assert (np.diff(bounds, axis=0) >= 0).all()
    assert one_run_epsilon(0, 0, 10) == 0.0


def coins_and(rng: Any, m: Any) -> Any:
    return rng.random(m) < 0.5


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_randomised_response_is_exceeded_at_the_stated_rate_only(epsilon: float, delta: float) -> None:
    """Each of 1,000 coins is told truly with probability e^epsilon / (1 + e^epsilon)."""
    rng, m, truth = np.random.default_rng(1), 1000, exp(epsilon) / (1 + exp(epsilon))
    bound = cache(lambda correct: one_run_epsilon(correct, m, m, delta=delta))
    values = np.array([bound(int(k)) for k in rng.binomial(m, truth, RUNS)])
    assert np.mean(values > epsilon) <= 0.05
    assert values.mean() >= 0.7 * epsilon
    assert np.mean(values > epsilon) >= 0.01 or delta  # not needlessly wide


def test_response_that_tells_all_with_probability_delta() -> None:
    """(epsilon, delta)-private: with probability delta all is told; else randomised response."""
    rng, m, epsilon, delta = np.random.default_rng(2), 300, 1.0, 0.02
    bound = cache(lambda correct: one_run_epsilon(correct, m, m, delta=delta))
    right = rng.binomial(m, exp(epsilon) / (1 + exp(epsilon)), RUNS)
    right[rng.random(RUNS) < delta] = m
    assert np.mean([bound(int(k)) > epsilon for k in right]) <= 0.05


def epsilon_of_gaussian(mu: Any, delta: Any) -> Any:
    def spent(e: Any) -> Any:
        return norm.cdf(-e / mu + mu / 2) - exp(e) * norm.cdf(-e / mu - mu / 2)

    return brentq(lambda e: spent(e) - delta, 0, 100)


def gaussian(rng: Any, m: Any, mu: Any) -> tuple[Any, Any]:
    member = coins_and(rng, m)
    return rng.normal(mu * member, 1.0), member


@pytest.mark.slow
@pytest.mark.parametrize(("mu", "delta", "least"), [(0.25, 1e-5, 0.4), (1.0, 1e-5, 0.45)])
def test_gaussian_release_is_not_exceeded(mu: float, delta: float, least: float) -> None:
    """Every coin is released with noise of its own; the numbers of guesses are chosen on other releases."""
    rng, m, epsilon = np.random.default_rng(3), 10_000, epsilon_of_gaussian(mu, delta)
    choice = choose_guesses([gaussian(rng, m, mu) for _ in range(8)], delta=delta)
    bound = cache(lambda correct: one_run_epsilon(correct, sum(choice), m, delta=delta))
    values = []
    for _ in range(RUNS):
        scores, member = gaussian(rng, m, mu)
        order = np.argpartition(-scores, choice[0])
        top, low = order[: choice[0]], np.argpartition(scores, choice[1])[: choice[1]]
        values.append(bound(int(member[top].sum() + (~member[low]).sum())))
    assert np.mean(np.array(values) > epsilon) <= 0.05
    assert np.mean(values) >= least * epsilon


@pytest.mark.slow
def test_coins_that_nobody_saw_give_zero_whatever_is_chosen() -> None:
    rng = np.random.default_rng(4)
    null = [(rng.normal(size=400), coins_and(rng, 400)) for _ in range(8)]
    for choices in ([choose_guesses(null)], fixed_guesses(400), [(1, 0), (5, 5), (200, 200), (50, 0), (0, 50)]):
        bounds = [
            one_run_bound(rng.normal(size=400), coins_and(rng, 400), choices, delta=0.0).value for _ in range(RUNS)
        ]
        assert np.mean(np.array(bounds) > 0) <= 0.05


def test_guesses_are_counted_by_hand() -> None:
    scores = np.array([5.0, np.nan, 4.0, 3.0, 2.0, 1.0, 0.0])
    member = np.array([1, 0, 0, 1, 1, 1, 0])
    bound = one_run_bound(scores, member, [(2, 1)], delta=0.0)
    assert "6 coins" in bound.method
    assert "2 of 3 guesses correct" in bound.method  # 5 yes, 4 no, 0 yes
    assert bound.basis == "one-run coins"
    best = one_run_bound(np.arange(100.0), np.arange(100) >= 50, [(50, 50), (10, 10)], delta=0.0)
    expected = log(0.025 ** (1 / 100) / (1 - 0.025 ** (1 / 100)))  # at half of the error rate each
    assert best.value == pytest.approx(expected)
    assert "best of 2" in best.method
    assert "100 of 100" in best.method


def test_choice_prefers_the_side_that_tells() -> None:
    rng = np.random.default_rng(5)

    def one() -> tuple[Any, Any]:
        member = coins_and(rng, 1000)
        scores = rng.normal(size=1000)
        scores[member & (rng.random(1000) < 0.2)] += 20  # a fifth of the members stand out, nobody else
        return scores, member

    top, bottom = choose_guesses([one() for _ in range(8)], delta=0.0)
    assert 50 <= top <= 130
    assert bottom == 0


@pytest.mark.parametrize(
    ("choices", "delta", "confidence"), [([], 0.0, 0.95), ([(1, 1)], -1.0, 0.95), ([(1, 1)], 0.0, inf)]
)
def test_parameters_are_checked(choices: Any, delta: float, confidence: Any) -> None:
    with pytest.raises(StudyError):
        one_run_bound([1.0, 0.0], [1, 0], choices, delta=delta, confidence=confidence)
