"""Differences of two attacks on the same records: by slow oracles, by closed forms, and how often intervals hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from memberwise.errors import DataError
from memberwise.statistics import auc, tpr_at
from memberwise.statistics.paired import (
    DELONG,
    Ranked,
    auc_difference,
    ranked_both,
    tpr_difference,
    tpr_draws,
)


def scores_of(rng: Any, n1: Any, n0: Any, first: Any, second: Any, correlation: Any) -> tuple[Any, Any, Any]:
    """Two normal attacks with these shifts of the members' scores, correlated within each record."""
    member = np.r_[np.ones(n1, bool), np.zeros(n0, bool)]
    z = rng.normal(size=(2, n1 + n0))
    z[1] = correlation * z[0] + np.sqrt(1 - correlation**2) * z[1]
    return z[0] + first * member, z[1] + second * member, member


def slow_variance(a: Any, b: Any, member: Any) -> Any:
    """DeLong's variance of a difference, by the kernel of every pair of a member and a non-member."""
    kernels = [
        (s[member][:, None] > s[~member]) + 0.5 * (s[member][:, None] == s[~member]) for s in (a.round(6), b.round(6))
    ]
    difference = kernels[0] - kernels[1]
    return sum(difference.mean(axis).var(ddof=1) / difference.shape[1 - axis] for axis in (0, 1))


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30), st.booleans())
def test_the_variance_is_delongs(seed: int, n1: int, n0: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b, member = scores_of(rng, n1, n0, 1.0, 0.5, 0.5)
    a, b = (np.floor(2 * s) if ties else s.round(6) for s in (a, b))
    found = auc_difference(*ranked_both(a, b, member))
    assert found.value == pytest.approx(auc(a, member).value - auc(b, member).value)
    variance = slow_variance(a, b, member)
    if found.method == DELONG and found.low > -1 and found.high < 1 and variance > 1e-12:  # type: ignore[operator]
        assert found.high - found.low >= 2 * 1.06 * 1.959 * np.sqrt(variance) * 0.999  # type: ignore[operator]


def test_same_scores_differ_by_nothing_ignoring_unscored() -> None:
    rng = np.random.default_rng(0)
    a, b, member = scores_of(rng, 60, 50, 1.0, 0.3, 0.0)
    same = auc_difference(Ranked(a, member), Ranked(3 * a + 1, member))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    holes = np.where(np.arange(110) % 3 == 0, np.nan, b)
    kept = ~np.isnan(holes)
    expected = auc_difference(*ranked_both(a[kept], b[kept], member[kept]))
    assert auc_difference(*ranked_both(a, holes, member)) == expected
    back = auc_difference(*ranked_both(holes, a, member))
    assert (back.low, back.high) == pytest.approx((-expected.high, -expected.low))  # type: ignore[operator]


def test_a_difference_that_does_not_vary_is_no_certainty() -> None:
    member = np.r_[np.ones(4, bool), np.zeros(4, bool)]
    found = auc_difference(*ranked_both(member.astype(float), np.zeros(8), member))
    assert found.value == 0.5
    assert found.low < 0 < found.high, "of four records a side a perfect attack is not shown to be better than none"  # type: ignore[operator]


def test_in_vain() -> None:
    with pytest.raises(DataError, match="length"):
        ranked_both([1.0, 2.0], [1.0], [1, 0])
    with pytest.raises(DataError, match="no member"):
        ranked_both([1.0, np.nan], [1.0, 2.0], [0, 1])


@pytest.mark.parametrize(
    ("n1", "n0", "first", "second", "correlation"),
    [(50, 50, 1.0, 1.0, 0.8), (200, 60, 1.5, 1.2, 0.9), (100, 400, 3.0, 2.5, 0.3)],
)
def test_intervals_of_an_auc_difference_hold(n1: int, n0: int, first: float, second: float, correlation: float) -> None:
    rng, repeats = np.random.default_rng(1), 600
    truth = norm.cdf(first / np.sqrt(2)) - norm.cdf(second / np.sqrt(2))
    missed = 0
    for _ in range(repeats):
        found = auc_difference(*ranked_both(*scores_of(rng, n1, n0, first, second, correlation)))
        missed += not found.low <= truth <= found.high
    assert missed / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
    assert missed > 0, "an interval that always holds is too wide"


def slow_rate(scores: Any, member: Any, weights: Any, fpr: Any) -> Any:
    """The rate of records that are there several times."""
    times = weights.astype(int)
    return tpr_at(np.repeat(scores, times), np.repeat(member, times), fpr)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("fpr", [0.05, 0.2, 0.9])
def test_draws_are_the_rates_of_resampled_records(ties: bool, fpr: float) -> None:
    rng = np.random.default_rng(3)
    a, _, member = scores_of(rng, 40, 30, 1.0, 0.5, 0.5)
    a = np.floor(a * 2) if ties else a
    shuffled = rng.permutation(70)
    a, member = a[shuffled], member[shuffled]
    [found] = tpr_draws([a], member, fpr, seed=5, draws=50)
    again = np.random.default_rng(5)
    for side, name in ((member, "members"), (~member, "others")):
        assert side.any(), name
    weights = np.zeros((50, 70))
    for side in (np.flatnonzero(member), np.flatnonzero(~member)):
        weights[:, side] = again.multinomial(len(side), np.full(len(side), 1 / len(side)), size=50)
    np.testing.assert_allclose(found, [slow_rate(a, member, w, fpr) for w in weights])


@pytest.mark.slow
def test_intervals_of_a_tpr_difference_hold() -> None:
    rng, repeats, fpr = np.random.default_rng(2), 200, 0.05
    truth = norm.sf(norm.isf(fpr) - 1.5) - norm.sf(norm.isf(fpr) - 1.0)
    missed = 0
    for _ in range(repeats):
        a, b, member = scores_of(rng, 300, 300, 1.5, 1.0, 0.7)
        draws = tuple(tpr_draws([a, b], member, fpr, seed=0, draws=200))
        found = tpr_difference((tpr_at(a, member, fpr), tpr_at(b, member, fpr)), draws, (300, 300))
        missed += not found.low <= truth <= found.high  # type: ignore[operator]
    assert missed / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)
