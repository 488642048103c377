"""Confident GNMax and its epsilon, against dp-accounting, numerical divergences and an audit by coins."""

from __future__ import annotations

import sys
from itertools import pairwise

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm

from memberwise.defences.bounded.pate import (
    ABSTAINED,
    ORDERS,
    GNMax,
    data_dependent_rdp,
    epsilon_of,
    rdp_epsilon,
    release,
    rho_of,
    success_of,
    vote_counts,
)
from memberwise.errors import MissingExtraError
from memberwise.statistics.epsilon import epsilon_bound
from memberwise.statistics.thresholds import Counts
from memberwise.types.arrays import Floats, Ints

DELTA = 1e-5
MECHANISM = GNMax(threshold=6.0, sigma1=3.0, sigma2=2.0)


def outcome_chances(counts: Ints, mechanism: GNMax) -> Floats:
    """Chances of abstaining and of each class, by numerical integration: ``(1 + C,)``."""
    answered = 1.0 if mechanism.threshold is None else norm.sf((mechanism.threshold - counts.max()) / mechanism.sigma1)

    def wins(k: int) -> float:
        def density(z: float) -> float:
            others = np.delete(counts, k)
            return float(norm.pdf(z) * norm.cdf((counts[k] - others) / mechanism.sigma2 + z).prod())

        return quad(density, -12, 12, epsabs=1e-13, limit=200)[0]

    return np.array([1 - answered, *(answered * wins(k) for k in range(len(counts)))])


def neighbours(counts: Ints) -> list[Ints]:
    """All counts after one teacher votes otherwise."""
    moves = [(i, j) for i in range(len(counts)) for j in range(len(counts)) if i != j and counts[i]]
    return [counts - np.eye(len(counts), dtype=int)[i] + np.eye(len(counts), dtype=int)[j] for i, j in moves]


def divergence(p: Floats, q: Floats, order: float) -> float:
    """Renyi divergence of finite distributions."""
    kept = p > 0
    return float(logsumexp(order * np.log(p[kept]) + (1 - order) * np.log(q[kept])) / (order - 1))


def test_votes_of_probabilities_are_counted() -> None:
    answers = np.array([[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], [[0.4, 0.5, 0.1], [0.2, 0.2, 0.6]]])
    assert vote_counts(answers).tolist() == [[1, 1, 0], [0, 0, 2]]


def test_answers_come_as_often_as_integrals_say() -> None:
    counts = np.array([6, 3, 1])
    labels = release(counts, MECHANISM, np.random.default_rng(1).standard_normal((100_000, 4)))
    frequencies = [(labels == k).mean() for k in (ABSTAINED, 0, 1, 2)]
    assert np.abs(np.array(frequencies) - outcome_chances(counts, MECHANISM)).max() < 4 * 0.5 / 100_000**0.5


def test_without_a_threshold_every_question_is_answered() -> None:
    always = GNMax(threshold=None, sigma1=1.0, sigma2=50.0)
    assert release(np.array([1, 1, 1]), always, np.random.default_rng(0).standard_normal((500, 4))).min() == 0
    assert always.worst_rho == always.answer_rho == 1 / 50**2


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "answered"), [(1, 1), (40, 0), (40, 25), (3_000, 1_200)])
def test_epsilon_is_that_of_dp_accounting(asked: int, answered: int) -> None:
    mechanism = GNMax(threshold=60.0, sigma1=40.0, sigma2=30.0)
    rho = asked * mechanism.check_rho + answered * mechanism.answer_rho
    ours = epsilon_of(rho, DELTA)
    exact, renyi = PLDAccountant(), RdpAccountant()
    for accountant in (exact, renyi):
        accountant.compose(dp_accounting.GaussianDpEvent(mechanism.sigma1), asked)
        if answered:
            accountant.compose(dp_accounting.GaussianDpEvent(mechanism.sigma2 / 2**0.5), answered)
    assert exact.get_epsilon(DELTA) == pytest.approx(ours, rel=1e-3)
    assert ours <= renyi.get_epsilon(DELTA) < 1.6 * ours + 0.01
    assert epsilon_of(rho_of(ours, DELTA), DELTA) == pytest.approx(ours, rel=1e-6)


@given(st.floats(1e-4, 40.0), st.floats(1e-12, 1e-2))
@settings(max_examples=40, deadline=None)
def test_the_budget_in_rho_never_exceeds_its_epsilon(epsilon: float, delta: float) -> None:
    assert epsilon_of(rho_of(epsilon, delta), delta) <= epsilon


def test_more_is_never_less_epsilon() -> None:
    assert epsilon_of(0.0, DELTA) == 0
    assert rho_of(float("inf"), DELTA) == float("inf")
    assert 0.9e9 < rho_of(1e300, DELTA) <= 1e9
    assert all(low <= high for low, high in pairwise(epsilon_of(10.0**k, DELTA) for k in range(-12, 5)))


@pytest.mark.slow
@pytest.mark.parametrize("counts", [[6, 3, 1], [9, 1, 0], [40, 1, 0], [200, 30, 20]])
@pytest.mark.parametrize("threshold", [None, 6.0])
def test_divergences_stay_below_both_bounds(counts: list[int], threshold: float | None) -> None:
    mechanism = GNMax(threshold=threshold, sigma1=3.0, sigma2=2.0)
    here = np.array(counts)
    p = outcome_chances(here, mechanism)
    dependent = np.maximum(data_dependent_rdp(here, 0, mechanism), data_dependent_rdp(here, ABSTAINED, mechanism))
    for there in neighbours(here):
        q = outcome_chances(there, mechanism)
        for place in range(0, len(ORDERS), 30):
            order = float(ORDERS[place])
            if order < 20:  # beyond it the integrals' own error is what grows
                assert divergence(p, q, order) <= dependent[place] * (1 + 1e-9) + 1e-9
                assert divergence(q, p, order) <= order * mechanism.worst_rho
    assert (dependent <= ORDERS * mechanism.worst_rho * (1 + 1e-12)).all()


@pytest.mark.parametrize("rho", [1e-6, 0.01, 0.5, 4.0])
def test_success_is_where_epsilon_is_nothing(rho: float) -> None:
    """At epsilon 0 delta is the largest TPR - FPR of any attack, by dp-accounting's conversion."""
    gap = 2 * success_of(rho) - 1
    assert epsilon_of(rho, gap * 1.000001) < 1e-6
    assert epsilon_of(rho, gap * 0.999) > 1e-9


def test_agreeing_votes_cost_less_where_the_bound_is_theirs() -> None:
    mechanism = GNMax(threshold=150.0, sigma1=40.0, sigma2=20.0)
    by_votes = 500 * data_dependent_rdp(np.array([245, 5, 0]), 0, mechanism)
    split = 500 * data_dependent_rdp(np.array([130, 120, 0]), 0, mechanism)
    plain = 500 * ORDERS * mechanism.worst_rho
    assert rdp_epsilon(by_votes, DELTA) < 0.7 * rdp_epsilon(plain, DELTA)
    assert rdp_epsilon(split, DELTA) == pytest.approx(rdp_epsilon(plain, DELTA), rel=0.05)
    assert rdp_epsilon(plain, DELTA) >= epsilon_of(500 * mechanism.worst_rho, DELTA)


@pytest.mark.slow
def test_coins_prove_no_more_than_epsilon_and_come_near() -> None:
    """One teacher's record is in by a coin; the attacker sees fifty answers and knows all other votes."""
    mechanism, questions, coins, delta = GNMax(threshold=4.0, sigma1=6.0, sigma2=4.0), 50, 20_000, 1e-3
    tables = [np.array([5, 4]), np.array([4, 5])]
    log_ratio = np.log(outcome_chances(tables[1], mechanism) / outcome_chances(tables[0], mechanism))
    rng = np.random.default_rng(3)
    scores = []
    for counts in tables:
        labels = release(counts, mechanism, rng.standard_normal((coins, questions, 3)))
        scores.append(log_ratio[labels + 1].sum(-1))
    stated = epsilon_of(questions * mechanism.worst_rho, delta)
    # The threshold is chosen on the first half of the coins and counted on the second.
    out, member = (score[: coins // 2] for score in scores)
    bounds = {
        cut: epsilon_bound(
            Counts(int((member > cut).sum()), coins // 2, int((out > cut).sum()), coins // 2), delta=delta
        )
        for cut in np.quantile(out, np.linspace(0.5, 0.999, 40))
    }
    cut = max(bounds, key=lambda cut: bounds[cut].value)
    out, member = (score[coins // 2 :] for score in scores)
    proved = epsilon_bound(
        Counts(int((member > cut).sum()), coins // 2, int((out > cut).sum()), coins // 2), delta=delta
    ).value
    assert 0.3 * stated < proved <= stated


def test_without_dp_accounting_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(MissingExtraError, match="pate"):
        epsilon_of(1.0, DELTA)
