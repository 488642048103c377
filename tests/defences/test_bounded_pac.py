"""PAC-private answers: what is told is never more than what is booked, and what is booked is not far from it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from memberwise.defences.bounded.pac import (
    balanced_success,
    membership_success,
    nats_within,
    noise_scales,
    release,
)
from memberwise.defences.bounded.worlds import left_out, world_rows

CLASSES = 4


def tables(worlds: int, count: int, seed: int) -> list[Any]:
    """Random answers and weights: one-hot and probabilities, of worlds that are evenly and unevenly likely."""
    rng = np.random.default_rng(seed)
    made = []
    for kind in range(count):
        hot = np.eye(CLASSES)[rng.integers(0, CLASSES, worlds)]
        answers = hot if kind % 2 else np.round(rng.dirichlet(np.ones(CLASSES), worlds), 3)
        weights = np.full(worlds, 1 / worlds) if kind % 3 else rng.dirichlet(np.full(worlds, 0.5))
        made.append((answers, weights))
    return made


def told(answers: Any, weights: Any, budget: float, draws: int, rng: Any) -> tuple[float, float]:
    """Mutual information of the secret world and the released vector, by drawing both; and its standard error.

    Slow and by itself: the posterior by Bayes's rule from the density of a Gaussian with the whole covariance matrix.
    """
    basis, variances = noise_scales(answers, weights, budget)
    if not len(variances):
        return 0.0, 0.0
    worlds = rng.choice(len(weights), size=draws, p=weights)
    z = rng.standard_normal((draws, len(variances)))
    released = answers[worlds] + (z * np.sqrt(variances)) @ basis.T
    precision = basis @ np.diag(1 / variances) @ basis.T
    apart = released[:, None, :] - answers[None]
    logs = -0.5 * np.einsum("dwc,ce,dwe->dw", apart, precision, apart)
    posterior = np.exp(logs - logs.max(1, keepdims=True)) * weights
    posterior /= posterior.sum(1, keepdims=True)
    gains = np.log(posterior[np.arange(draws), worlds] / weights[worlds])
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(draws))


@pytest.mark.parametrize("worlds", [2, 3, 16])
@pytest.mark.parametrize("budget", [2.0**-6, 2.0**-2, 1.0, 4.0])
def test_nats_booked_are_never_below_what_is_told(worlds: int, budget: float) -> None:
    rng = np.random.default_rng(worlds)
    ratios = []
    for answers, weights in tables(worlds, 6, seed=worlds):
        made = release(answers, weights, 0, budget, np.zeros(CLASSES))
        value, error = told(answers, weights, budget, 20_000, rng)
        assert made.nats <= budget * (1 + 1e-12)
        assert value <= made.nats + 4 * error
        if made.nats:
            ratios.append((value + 4 * error) / float(made.nats))
    # What is booked is the Gaussian's information, which small budgets reach: there it is not far above the truth.
    assert max(ratios) > (0.9 if budget < 0.1 else 0.2)


def test_two_worlds_by_their_closed_form() -> None:
    answers, weights, budget = np.eye(3)[[0, 2]], np.array([0.5, 0.5]), 2.0**-5
    basis, [variance] = noise_scales(answers, weights, budget)
    # The answers are +-1/sqrt(2) along (1, 0, -1)/sqrt(2): standard deviation and variance 1/2, noise 1/2 / (2 b).
    np.testing.assert_allclose(np.abs(basis[:, 0]), np.array([1, 0, 1]) / np.sqrt(2), atol=1e-12)
    assert variance == pytest.approx(0.5 / (2 * budget))
    made = release(answers, weights, 1, budget, np.array([0.3, 9.0, 9.0]))
    assert made.nats == pytest.approx(0.5 * np.log1p(0.5 / variance))
    first, second = basis[0, 0], basis[2, 0]
    seen = second + 0.3 * np.sqrt(variance)
    odds = norm.pdf(seen, second, np.sqrt(variance)) / norm.pdf(seen, first, np.sqrt(variance))
    assert made.weights[1] / made.weights[0] == pytest.approx(odds)
    assert made.values[1] == pytest.approx(0, abs=1e-12)
    assert made.values.sum() == pytest.approx(1)


@pytest.mark.parametrize("budget", [2.0**-40, 2.0**-10, 1.0])
def test_noise_is_what_the_publication_gives(budget: float) -> None:
    for answers, weights in tables(16, 8, seed=5):
        middle = weights @ answers
        covariance = (answers - middle).T @ np.diag(weights) @ (answers - middle)
        values = np.linalg.eigvalsh(covariance)
        values = np.sort(values[values > 1e-12])[::-1]
        basis, variances = noise_scales(answers, weights, budget)
        np.testing.assert_allclose(variances, np.sqrt(values) * np.sqrt(values).sum() / (2 * budget), rtol=1e-6)
        np.testing.assert_allclose(basis.T @ basis, np.eye(len(values)), atol=1e-9)
        np.testing.assert_allclose(basis.T @ covariance @ basis, np.diag(values), atol=1e-9)


def test_worlds_that_agree_cost_nothing_and_get_no_noise() -> None:
    answers, weights = np.tile([0.2, 0.5, 0.3], (8, 1)), np.random.default_rng(0).dirichlet(np.ones(8))
    made = release(answers, weights, 3, 2.0**-40, np.full(3, 100.0))
    np.testing.assert_array_equal(made.values, answers[0])
    np.testing.assert_array_equal(made.weights, weights)
    assert made.nats == 0


def test_one_world_alone_answers_exactly_and_costs_nothing() -> None:
    made = release(np.array([[0.0, 1.0]]), np.ones(1), 0, 1.0, np.ones(2))
    assert (made.values.tolist(), made.weights.tolist(), float(made.nats)) == ([0.0, 1.0], [1.0], 0.0)


def test_worlds_ruled_out_count_no_more() -> None:
    answers = np.eye(3)[[0, 0, 1, 2]]
    made = release(answers, np.array([0.5, 0.5, 0.0, 0.0]), 1, 1.0, np.ones(3))
    assert (made.values.tolist(), float(made.nats)) == ([1.0, 0.0, 0.0], 0.0)
    basis, _ = noise_scales(answers, np.array([0.5, 0.0, 0.5, 0.0]), 1.0)
    assert basis.shape == (3, 1)
    assert basis[2, 0] == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("tiny", [1e-13, 1e-60, 1e-300])
def test_a_world_almost_ruled_out_keeps_numbers_finite(tiny: float) -> None:
    answers, weights = np.eye(3)[[0, 1, 1]], np.array([tiny, 0.5, 0.5 - tiny])
    for world in range(3):
        made = release(answers, weights, world, 2.0**-20, np.full(3, 0.7))
        assert np.isfinite(made.values).all()
        assert np.isfinite(made.weights).all()
        assert made.weights.sum() == pytest.approx(1)
        assert 0 <= made.nats <= 2.0**-20
        basis, variances = noise_scales(answers, weights, 2.0**-20)
        assert (variances > 0).all()
        assert basis.shape == (3, 1)


def test_directions_without_noise_do_not_tell_the_world() -> None:
    # A sum that rounding leaves a little off 1 differs from world to world, and is no direction of theirs.
    rng = np.random.default_rng(3)
    raw = rng.dirichlet(np.ones(5), 12)
    answers = raw * (1 + rng.normal(size=(12, 1)) * 1e-15)
    weights = np.full(12, 1 / 12)
    basis, _ = noise_scales(answers, weights, 1.0)
    assert basis.shape[1] == 4
    sums = {float(release(answers, weights, world, 1.0, np.zeros(5)).values.sum()) for world in range(12)}
    assert max(sums) - min(sums) < 1e-14


def test_sessions_side_by_side_are_sessions_one_by_one() -> None:
    rng = np.random.default_rng(8)
    answers = np.eye(CLASSES)[rng.integers(0, CLASSES, 9)]
    weights, worlds, normal = rng.dirichlet(np.ones(9), 5), rng.integers(0, 9, 5), rng.standard_normal((5, CLASSES))
    together = release(answers, weights, worlds, 0.1, normal)
    for i in range(5):
        alone = release(answers, weights[i], int(worlds[i]), 0.1, normal[i])
        np.testing.assert_allclose(together.nats[i], alone.nats, rtol=1e-9)
        # The noise of one is that of the other up to the signs of the directions.
        basis, variances = noise_scales(answers, weights[i], 0.1)
        np.testing.assert_allclose(
            ((together.values[i] - answers[worlds[i]]) @ basis / np.sqrt(variances)) ** 2,
            normal[i, : len(variances)] ** 2,
            rtol=1e-6,
        )


def play(pool: Any, table: Any, budget: float, secrets: int, questions: int, adaptive: bool) -> tuple[float, float]:
    """Balanced accuracy of the exact attacker over secrets, and the mean of the nats booked.

    Args:
        pool: ``(W, n)`` which world learned which record. table: ``(n, W, C)`` answers about the records.
        adaptive: each session asks next where its own posterior is most divided; else in order.
    """
    worlds = pool.shape[0]
    rng = np.random.default_rng(17)
    secret = np.arange(secrets) % worlds
    weights, nats = np.full((secrets, worlds), 1 / worlds), np.zeros(secrets)
    for question in range(questions):
        places = np.full(secrets, question % len(table))
        if adaptive:
            share = np.einsum("sw,nwc->snc", weights, table)
            fresh = (1 - (share**2).sum(-1)) * (1 + rng.random((secrets, len(table))))
            places = fresh.argmax(1)
        for place in np.unique(places):
            own = places == place
            normal = rng.standard_normal((int(own.sum()), table.shape[-1]))
            made = release(table[place], weights[own], secret[own], budget, normal)
            weights[own], nats[own] = made.weights, nats[own] + made.nats
    guess = weights @ pool.astype(float)
    truth = pool[secret]
    ties = np.abs(guess - pool.mean(0)) < 1e-12
    right = np.where(ties, 0.5, (guess > pool.mean(0)) == truth)
    return float((right[truth].mean() + right[~truth].mean()) / 2), float(nats.mean())


@pytest.mark.slow
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_the_exact_attacker_stays_within_the_bound(adaptive: bool, share: float) -> None:
    worlds, secrets, records = 4, 2000, 6
    pool = world_rows(records, worlds, share, seed=3)
    table = np.eye(3)[np.where(pool.T, 0, 1 + np.random.default_rng(2).integers(0, 2, (records, worlds)))]
    excess = []
    for exponent in (-20, -12, -8, -6, -4):
        success, nats = play(pool, table, 2.0**exponent, secrets, 12, adaptive)
        bound = balanced_success(nats, share)
        # One secret decides about all records: the error is that of so many secrets.
        assert success <= bound + 3 * 0.5 / np.sqrt(secrets)
        excess.append((success - 0.5) / (bound - 0.5))
    assert max(excess[1:]) > 0.5


@pytest.mark.slow
def test_the_bound_is_nearly_reached_by_two_worlds() -> None:
    pool, table = np.array([[True], [False]]), np.eye(2)[None]
    for exponent in (-8, -6, -4):
        questions = 8
        success, nats = play(pool, table, 2.0**exponent, 20_000, questions, False)
        bound = membership_success(nats)
        assert 0.7 < (success - 0.5) / (bound - 0.5) <= 1 + 0.05


def test_success_is_where_the_divergence_ends() -> None:
    for nats, prior in [(1e-12, 0.5), (2.3e-4, 0.5), (0.1, 0.5), (0.01, 0.875)]:
        d = membership_success(nats, prior)
        kl = d * np.log(d / prior) + (1 - d) * np.log((1 - d) / (1 - prior))
        assert kl == pytest.approx(nats, rel=1e-3 if nats < 1e-9 else 1e-6)
    assert membership_success(2.0**-32 * 1e6) == pytest.approx(0.5108, abs=5e-5)  # the publication's
    assert (membership_success(0.0), membership_success(0.0, 0.75)) == (0.5, 0.75)
    assert (membership_success(np.log(2)), membership_success(99.0)) == (1.0, 1.0)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.875, 31 / 32])
def test_balanced_success_is_the_largest_of_all_tests(share: float) -> None:
    # Every yes-or-no test on a grid: P(yes | out), P(yes | in), what it tells, and how well it does.
    grid = np.linspace(0.001, 0.999, 500)
    out, into = np.meshgrid(grid, grid)
    middle = share * into + (1 - share) * out

    def kl(p: Any, q: Any) -> Any:
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    tells = share * kl(into, middle) + (1 - share) * kl(out, middle)
    for nats in (1e-3, 0.02, 0.1):
        best = ((1 + into - out) / 2)[tells <= nats].max()
        bound = balanced_success(nats, share)
        assert best <= bound + 1e-12
        assert bound - best < 4e-3
        if bound < 1:
            assert nats_within(bound, share) == pytest.approx(nats, rel=1e-6)


def test_success_grows_with_nats_and_with_the_share() -> None:
    nats = [0, 1e-15, 1e-9, 1e-4, 0.01, 0.1, 1, 50]
    for share in (0.5, 0.75, 31 / 32):
        values = [balanced_success(n, share) for n in nats]
        assert all(one <= other for one, other in pairwise(values))
        assert (values[0], values[-1]) == (0.5, 1.0)
    assert balanced_success(1e-3, 0.5) < balanced_success(1e-3, 0.75) < balanced_success(1e-3, 31 / 32)


@pytest.mark.parametrize(
    ("answers", "weights", "budget"),
    [
        (np.eye(2), [0.5, 0.5], 0.0),
        (np.eye(2), [0.5, 0.5], -1.0),
        (np.eye(2), [0.5, 0.5], np.inf),
        (np.eye(2), [0.5, 0.6], 1.0),
        (np.eye(2), [1.5, -0.5], 1.0),
        (np.eye(2), [0.2, 0.3, 0.5], 1.0),
        (np.array([[np.nan, 1], [0, 1]]), [0.5, 0.5], 1.0),
    ],
)
def test_impossible_tables_and_budgets_are_refused(answers: Any, weights: Any, budget: float) -> None:
    with pytest.raises(ValueError, match=r"budget|weights"):
        noise_scales(answers, np.array(weights), budget)


@pytest.mark.parametrize(("nats", "share"), [(-1.0, 0.5), (np.nan, 0.5), (0.1, 0.4), (0.1, 1.0)])
def test_impossible_nats_and_shares_are_refused(nats: float, share: float) -> None:
    for function in (membership_success, balanced_success):
        with pytest.raises(ValueError, match=r"nats|share"):
            function(nats, share)


@pytest.mark.parametrize(("worlds", "share"), [(2, 0.5), (4, 0.75), (32, 7 / 8), (32, 31 / 32), (12, 2 / 3)])
@pytest.mark.parametrize("rows", [1, 31, 64, 501])
def test_every_record_is_left_out_of_equally_many_worlds(worlds: int, share: float, rows: int) -> None:
    pool = world_rows(rows, worlds, share, seed=4)
    out = left_out(worlds, share)
    assert pool.shape == (worlds, rows)
    assert ((~pool).sum(0) == out).all()
    assert np.ptp(pool.sum(1)) <= out
    assert np.array_equal(pool, world_rows(rows, worlds, share, seed=4))
    if rows > 60 and worlds > 2:
        assert not np.array_equal(pool, world_rows(rows, worlds, share, seed=5))


@pytest.mark.parametrize(("worlds", "share"), [(3, 0.5), (32, 0.99), (32, 1.0), (8, 0.8)])
def test_shares_of_no_whole_number_of_worlds_are_refused(worlds: int, share: float) -> None:
    with pytest.raises(ValueError, match="leaves each record out of"):
        left_out(worlds, share)
