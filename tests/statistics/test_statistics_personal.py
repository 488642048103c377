"""Each record's risk and the shares above a level: slow loops, and simulations in which the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from memberwise.statistics.personal import (
    GRID,
    auc_table,
    cross_pair_auc,
    pair_correlation,
    rounded_down,
    shared_drift,
    shares_above,
)

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


def shares(inside: Any, outside: Any) -> Any:
    table = auc_table(len(inside), rounded_down(pair_correlation(inside, outside)))
    return shares_above(cross_pair_auc(inside, outside), table, LEVELS, 0.95, inflation(inside, outside))


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
        table = auc_table(16, rounded_down(pair_correlation(inside, outside)))
        low, high = (ends[table.bins(cross_pair_auc(inside, outside))] for ends in table.intervals(0.95))
        held += list((low <= truth) & (truth <= high))
    assert np.mean(held) >= 0.945


def test_the_grid_has_no_level_on_it() -> None:
    assert not set(GRID.tolist()) & set(LEVELS)


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
        for place, one in enumerate(shares(inside, outside)):
            share = float((truth > one.level).mean())
            held[place] += one.low - 1e-9 <= share <= one.high + 1e-9
            estimate = float((cross_pair_auc(inside, outside) > one.level).mean())
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
