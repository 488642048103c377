"""Intervals of shares against scipy.stats and printed examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from memberwise.errors import StudyError
from memberwise.statistics import clopper_pearson, clopper_pearson_lower, clopper_pearson_upper, newcombe_difference

counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.slow
@given(counts, st.sampled_from([0.5, 0.95, 0.999]))
def test_clopper_pearson_equals_scipys_exact_interval(count: Any, confidence: Any) -> None:
    k, n = count
    exact = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(counts, st.sampled_from([0.01, 0.05, 0.3]))
def test_one_sided_bounds_equal_scipys(count: Any, error: Any) -> None:
    k, n = count
    low = binomtest(k, n, alternative="greater").proportion_ci(1 - error, method="exact").low
    high = binomtest(k, n, alternative="less").proportion_ci(1 - error, method="exact").high
    assert clopper_pearson_lower(k, n, error) == pytest.approx(low, abs=1e-9)
    assert clopper_pearson_upper(k, n, error) == pytest.approx(high, abs=1e-9)


def test_clopper_pearson_is_vectorised() -> None:
    low, high = clopper_pearson(np.array([0, 5, 10]), np.array([10, 20, 10]), 0.95)
    assert low[0] == 0.0
    assert high[2] == 1.0
    assert (low[1], high[1]) == pytest.approx(tuple(map(float, clopper_pearson(5, 20, 0.95))))


@pytest.mark.parametrize(
    ("k1", "n1", "k0", "n0", "low", "high"),
    [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090), (6, 7, 2, 7, 0.0582, 0.8062),
     (5, 56, 0, 29, -0.0381, 0.1926), (0, 10, 0, 20, -0.1611, 0.2775), (10, 10, 0, 20, 0.6791, 1.0000)],
)  # fmt: skip
def test_newcombe_repeats_the_printed_examples(k1: int, n1: int, k0: int, n0: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10."""
    assert newcombe_difference(k1, n1, k0, n0, 0.95) == pytest.approx((low, high), abs=6e-5)


@given(counts, counts)
def test_newcombe_is_antisymmetric_and_contains_the_difference(first: Any, second: Any) -> None:
    low, high = newcombe_difference(*first, *second, 0.95)  # type: ignore[call-arg]
    assert newcombe_difference(*second, *first, 0.95) == pytest.approx((-high, -low))  # type: ignore[call-arg]
    assert -1 <= low <= first[0] / first[1] - second[0] / second[1] + 1e-12
    assert low < high <= 1


def test_confidence_is_checked() -> None:
    with pytest.raises(StudyError, match="confidence"):
        clopper_pearson(1, 2, 95)
