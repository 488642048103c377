"""The bound from many runs: on mechanisms with known epsilon, on nothing, and the price of choosing the record."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from memberwise.errors import DataError
from memberwise.statistics import Counts, epsilon_bound, many_runs_bound

RUNS = 1000


def paired(rng: Any, m: Any, n: Any) -> Any:
    first = rng.random((m // 2, n)) < 0.5
    return np.stack([first, ~first], 1).reshape(m, n)


@pytest.mark.parametrize("epsilon", [1.0, 2.0])
def test_randomised_response_in_many_runs(epsilon: float) -> None:
    """Each run tells of each of 3 records by randomised response; 2,000 runs are enough for 0.7 of epsilon."""
    rng, truth, values = np.random.default_rng(1), exp(epsilon) / (1 + exp(epsilon)), []
    for _ in range(RUNS):
        member = paired(rng, 2000, 3)
        told = member ^ (rng.random(member.shape) > truth)
        values.append(many_runs_bound(told.astype(float), member, delta=0.0)[0].value)
    assert np.mean(np.array(values) > epsilon) <= 0.05
    assert np.mean(values) >= 0.7 * epsilon


def test_gaussian_release_in_many_runs() -> None:
    """mu = 1 at its delta of epsilon = 2.3; with 10,000 runs a side 0.7 of it is reached at a fixed threshold."""
    rng, epsilon, n, at = np.random.default_rng(2), 2.318, 10_000, 2.25
    delta = norm.cdf(-epsilon + 0.5) - exp(epsilon) * norm.cdf(-epsilon - 0.5)
    tp, fp = rng.binomial(n, norm.sf(at - 1), RUNS), rng.binomial(n, norm.sf(at), RUNS)
    values = [epsilon_bound(Counts(int(a), n, int(b), n), delta=delta).value for a, b in zip(tp, fp, strict=True)]
    assert np.mean(np.array(values) > epsilon) <= 0.05
    assert np.mean(values) >= 0.7 * epsilon


@pytest.mark.slow
def test_record_chosen_elsewhere_gives_nothing_of_nothing() -> None:
    """64 runs, 200 records that nobody remembers: the most conspicuous one is chosen, and its other runs say 0."""
    rng, values = np.random.default_rng(3), []
    for _ in range(RUNS):
        member = paired(rng, 64, 200)
        values.append(many_runs_bound(rng.normal(size=member.shape), member, delta=0.0)[0].value)
    assert np.mean(np.array(values) > 0) <= 0.05


def test_outstanding_record_is_found_and_reaches_the_ceiling() -> None:
    rng = np.random.default_rng(4)
    member = paired(rng, 64, 50)
    signals = rng.normal(size=member.shape)
    signals[:, 17] += 30 * member[:, 17]
    bound, record = many_runs_bound(signals, member, delta=0.0)
    assert record == 17
    low = 0.025 ** (1 / 24)  # 16 runs choose, 24 + 24 remain
    assert bound.value == pytest.approx(np.log(low / (1 - low)))
    assert bound.basis == "many runs"
    assert "in place of another" in bound.method


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(DataError, match="too few runs"):
        many_runs_bound(np.zeros((6, 3)), paired(np.random.default_rng(0), 6, 3))
