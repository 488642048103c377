"""Each record's risk and the shares above a level: slow loops, and simulations in which the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from memberwise.statistics import personal_tables
from memberwise.statistics.personal import (
    auc_by_pair,
    correlation_spread,
    correlations_within,
    cross_pair_auc,
    pair_correlation,
    shared_drift,
    shares_above,
)
from memberwise.statistics.personal_tables import GRID, LOWEST, AucTable, auc_table, heavy_shifts, rounded_down

LEVELS = (0.6, 0.7, 0.8, 0.9)


def kinds(name: str, share: Any) -> Any:
    """True AUC_i without drift, from uniform numbers."""
    if name == "few":  # 90 % none, 8 % mild, 2 % strong
        return np.where(share < 0.9, 0.5, np.where(share < 0.98, 0.67, 0.96))
    if name == "edge":  # a tenth just below 0.9
        return np.where(share < 0.1, 0.87, 0.5)
    if name == "continuous":
        return norm.cdf(np.abs(norm.ppf(0.5 + share / 2)) * 0.9 / np.sqrt(2))
    return np.full(len(share), {"null": 0.5, "mild": 0.67}[name])


def simulated(name: str, pairs: int, records: int, within: float, drift: float, rng: Any) -> tuple[Any, ...]:
    """IN and OUT scores of complementary pairs, correlated within, with a drift of each model; the true AUC_i."""
    shift = np.sqrt(2) * norm.ppf(kinds(name, rng.random(records)))
    first = rng.normal(size=(pairs, records))
    second = within * first + np.sqrt(1 - within**2) * rng.normal(size=(pairs, records))
    in_first = rng.random((pairs, records)).argsort(1) < records // 2
    load = rng.normal(size=records)
    moves = drift * rng.normal(size=(2, pairs, 1)) * load
    a = np.where(in_first, first + shift, second) + moves[0]
    b = np.where(in_first, second, first + shift) + moves[1]
    truth = norm.cdf(shift / np.sqrt(2 * (1 + (drift * load) ** 2)))
    return np.where(in_first, a, b), np.where(in_first, b, a), truth


def inflation(inside: Any, outside: Any) -> float:
    apart = np.concatenate([inside - inside.mean(0), outside - outside.mean(0)])
    return float(1 + inside.shape[1] * shared_drift(apart) / len(inside))


def table_of(inside: Any, outside: Any) -> AucTable:
    spread = correlation_spread(correlations_within(inside, outside), len(inside))
    return auc_table(len(inside), pair_correlation(inside, outside), spread)


def shares(inside: Any, outside: Any) -> Any:
    aucs, table = cross_pair_auc(inside, outside), table_of(inside, outside)
    return shares_above(aucs, table, LEVELS, 0.95, inflation(inside, outside))


def heavy(pairs: int, records: int, auc: float, rng: Any) -> tuple[Any, Any]:
    """IN and OUT scores of records that all have this AUC_i, with heavy tails, IN 0.6 times as wide, -0.5 in pairs."""
    first, other = rng.normal(size=(2, pairs, records)) / np.sqrt(rng.chisquare(3, (pairs, records)))
    second = -0.5 * first + np.sqrt(0.75) * other
    far, near = rng.standard_t(3, (2, 400_000)) / np.sqrt(3)
    in_first = rng.random((pairs, records)) < 0.5
    inside = 0.6 * np.where(in_first, first, second) + np.quantile(far - 0.6 * near, auc)
    return inside, np.where(in_first, second, first)


@pytest.mark.parametrize("pairs", [2, 5, 40])
def test_moved_scores_are_compared_alike_both_ways(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    inside, outside, shifts = rng.normal(size=(pairs, 300)), rng.normal(size=(pairs, 300)), np.linspace(-3, 4, 9)
    few = personal_tables._aucs_of_few(inside, outside, shifts)
    np.testing.assert_array_equal(few, personal_tables._shifted_aucs(inside, outside, shifts))
    np.testing.assert_allclose(few, [cross_pair_auc(inside + shift, outside) for shift in shifts], atol=1e-12)


def test_comparisons_across_pairs_by_loops() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 5, (6, 20)).astype(float), rng.integers(0, 5, (6, 20)).astype(float)
    expected = [
        np.mean(
            [
                (inside[p, i] > outside[q, i]) + 0.5 * (inside[p, i] == outside[q, i])
                for p in range(6)
                for q in range(6)
                if p != q
            ]
        )
        for i in range(20)
    ]
    np.testing.assert_allclose(cross_pair_auc(inside, outside), expected)


def test_what_each_pair_says_by_leaving_it_out() -> None:
    rng = np.random.default_rng(5)
    inside, outside = rng.integers(0, 9, (7, 15)).astype(float), rng.integers(0, 9, (7, 15)).astype(float)
    whole = cross_pair_auc(inside, outside)
    without = [cross_pair_auc(np.delete(inside, p, 0), np.delete(outside, p, 0)) for p in range(7)]
    np.testing.assert_allclose(auc_by_pair(inside, outside), 7 * whole - 6 * np.array(without), atol=1e-12)
    np.testing.assert_allclose(auc_by_pair(inside, outside).mean(0), whole, atol=1e-12)


@pytest.mark.parametrize("truth", [-0.6, 0.0, 0.4])
def test_correlation_within_pairs_is_found(truth: float) -> None:
    rng = np.random.default_rng(1)
    inside = rng.normal(size=(8, 4000))
    outside = truth * inside + np.sqrt(1 - truth**2) * rng.normal(size=(8, 4000))
    assert pair_correlation(inside, outside) == pytest.approx(truth, abs=0.03)


def test_comparing_within_pairs_would_be_biased() -> None:
    """The two of a pair are not independent: that is why other pairs are compared."""
    inside, outside, truth = simulated("mild", 32, 4000, -0.6, 0.0, np.random.default_rng(2))
    assert cross_pair_auc(inside, outside).mean() == pytest.approx(truth.mean(), abs=0.005)
    assert (inside > outside).mean() < truth.mean() - 0.03


def test_drift_of_models_is_measured() -> None:
    rng = np.random.default_rng(3)
    noise, load = rng.normal(size=(64, 500)), rng.normal(size=500)
    assert shared_drift(noise) < 0.002
    assert shared_drift(noise + rng.normal(size=(64, 1)) * load) > 0.05


def test_each_records_interval_covers() -> None:
    held: list[Any] = []
    for seed in range(6):
        inside, outside, truth = simulated("continuous", 16, 500, -0.5, 0.0, np.random.default_rng(seed))
        table = table_of(inside, outside)
        low, high = (ends[table.bins(cross_pair_auc(inside, outside))] for ends in table.intervals(0.95))
        held += list((low <= truth) & (truth <= high))
    assert np.mean(held) >= 0.945


def test_the_grid_has_no_level_on_it() -> None:
    assert not set(GRID.tolist()) & set(LEVELS)


def test_heavy_tails_shift_by_as_much_as_simulated() -> None:
    draws = np.random.default_rng(4).standard_t(3, (2, 1_000_000))
    aucs = np.array([0.03, 0.5, 0.61, 0.77, 0.9, 0.985])
    won = [(draws[0] - draws[1] < shift).mean() for shift in heavy_shifts(aucs)]
    np.testing.assert_allclose(won, aucs, atol=0.0015)


def test_correlation_that_differs_between_records_is_seen() -> None:
    rng = np.random.default_rng(7)
    inside, other = rng.normal(size=(2, 32, 3000))
    alike, unlike = np.full(3000, -0.5), np.where(rng.random(3000) < 0.5, -0.8, -0.2)
    found = [
        correlation_spread(correlations_within(inside, each * inside + np.sqrt(1 - each**2) * other), 32)
        for each in (alike, unlike)
    ]
    assert found[0] < 0.06
    assert found[1] == pytest.approx(0.3, abs=0.03)


def test_the_strongest_correlation_has_a_table_too() -> None:
    assert rounded_down(-0.99) == LOWEST
    assert np.isfinite(auc_table(8, -0.9, 0.4).probabilities).all()


@pytest.mark.slow
@pytest.mark.parametrize(("auc", "records"), [(0.77, 1200), (0.795, 1200), (0.895, 12000)])
def test_all_just_below_a_level_are_not_above_it(auc: float, records: int) -> None:
    """Heavy tails spread the estimates beyond it, and the grid's other values lie far from the truth."""
    place = 2 if auc < 0.8 else 3
    lows = []
    for seed in range(8):
        inside, outside = heavy(32, records, auc, np.random.default_rng([8, seed]))
        lows.append(shares(inside, outside)[place].low)
    assert sum(low > 0.0005 for low in lows) <= 1, lows  # one set in twenty may miss
    assert max(lows) <= 0.05, lows


@pytest.mark.slow
def test_nobody_is_exposed_on_null_data() -> None:
    zero = [
        shares(*simulated("null", 16, 600, -0.5, 0.4, np.random.default_rng(seed))[:2])[-1].low for seed in range(8)
    ]
    assert max(zero) <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "within"), [(8, -0.5), (32, -0.5), (32, 0.0)])
@pytest.mark.parametrize("name", ["null", "few", "mild", "edge", "continuous"])
def test_shares_cover_and_a_histogram_does_not(name: str, pairs: int, within: float) -> None:
    runs, held, counted = 20, np.zeros(4), np.zeros(4)
    for seed in range(runs):
        inside, outside, truth = simulated(name, pairs, 1200, within, 0.44, np.random.default_rng([5, seed]))
        aucs = cross_pair_auc(inside, outside)
        for place, one in enumerate(shares(inside, outside)):
            share = float((truth > one.level).mean())
            held[place] += one.low - 1e-9 <= share <= one.high + 1e-9
            estimate = float((aucs > one.level).mean())
            half = 1.96 * np.sqrt(max(estimate * (1 - estimate), 1 / 1200) / 1200)
            counted[place] += abs(estimate - share) <= half
    assert (held >= 0.925 * runs).all(), (held / runs).tolist()
    assert counted.min() < 0.925 * runs, "counting the estimates would do"


@pytest.mark.slow
def test_shares_do_not_drift_as_models_are_added() -> None:
    inside, outside, truth = simulated("few", 64, 3000, -0.5, 0.2, np.random.default_rng(6))
    parts = [shares(inside[:p], outside[:p])[2] for p in (16, 32, 64)]
    share = float((truth > 0.8).mean())
    assert all(one.low <= share <= one.high for one in parts)
    assert parts[0].high - parts[0].low > parts[2].high - parts[2].low, "more models tell more"
