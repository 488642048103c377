"""AUC and its interval, against double loops and scikit-learn. Coverage is in test_statistics_coverage.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm, t
from sklearn.metrics import roc_auc_score

from memberwise.errors import StudyError
from memberwise.statistics import auc
from memberwise.statistics.auc import DELONG, HOEFFDING, PRIOR_WEIGHT, WIDENING

tied = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
    lambda pairs: 0 < sum(m for _, m in pairs) < len(pairs)
)


def slow_placements(x: Any, y: Any) -> NDArray[Any]:
    """Share of y below each x, ties half, by a double loop."""
    return np.array([np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for b in y]) for a in x])


def slow_delong(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """AUC and DeLong's two variance terms."""
    first, second = slow_placements(x, y), slow_placements(y, x)
    return first.mean(), first.var(ddof=1) / len(x), second.var(ddof=1) / len(y)


@pytest.mark.slow
@given(tied)
def test_auc_equals_the_double_loop_and_scikit_learn(pairs: Any) -> None:
    scores, member = map(np.array, zip(*pairs, strict=True))
    value = auc(scores, member).value
    assert value == pytest.approx(slow_placements(scores[member], scores[~member]).mean(), abs=1e-12)
    assert value == pytest.approx(roc_auc_score(member, scores), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_interval_is_delongs_on_logit_scale_with_mixture(shift: float) -> None:
    rng = np.random.default_rng(3)
    x, y = np.round(rng.normal(shift, 1, 60), 1), np.round(rng.normal(0, 1, 90), 1)
    area, v1, v0 = slow_delong(x, y)
    binomial = area * (1 - area)
    v1, v0 = ((v * n * (n - 1) + binomial) / n**2 for v, n in ((v1, 60), (v0, 90)))  # one record of variance A (1 - A)
    variance = v1 + v0
    misranked = binomial * min(area, 1 - area) / variance
    mixed = (misranked * variance + PRIOR_WEIGHT * binomial / 60) / (misranked + PRIOR_WEIGHT)
    half = WIDENING * t.ppf(0.975, variance**2 / (v1**2 / 59 + v0**2 / 89)) * np.sqrt(mixed) / binomial
    ends = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + np.array([-half, half]))))
    estimate = auc(np.r_[x, y], np.arange(150) < 60)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(ends), rel=1e-9)
    assert (estimate.n_members, estimate.n_nonmembers, estimate.method) == (60, 90, DELONG)


@pytest.mark.slow
def test_large_samples_give_delong_six_percent_wider() -> None:
    rng, n = np.random.default_rng(4), 1500
    x, y = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
    area, v1, v0 = slow_delong(x, y)
    estimate = auc(np.r_[x, y], np.arange(2 * n) < n)
    half = 1.06 * 1.96 * np.sqrt(v1 + v0)
    assert (estimate.low, estimate.high) == pytest.approx((area - half, area + half), abs=3e-4)


@given(tied, st.sampled_from([0.5, 0.95, 0.99]))
def test_interval_mirrors_and_ignores_order_and_transforms(pairs: Any, confidence: Any) -> None:
    scores, member = map(np.array, zip(*pairs, strict=True))
    plain = auc(scores, member, confidence)
    assert auc(scores[::-1] ** 3, member[::-1], confidence) == plain
    for mirrored in (auc(-scores, member, confidence), auc(scores, ~member, confidence)):
        assert mirrored.value == pytest.approx(1 - plain.value, abs=1e-12)
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - plain.high, 1 - plain.low), abs=1e-9)  # type: ignore[operator]
    assert 0 <= plain.low <= plain.value <= plain.high <= 1  # type: ignore[operator]
    assert plain.low < plain.high  # type: ignore[operator]


@pytest.mark.parametrize(("n1", "n0"), [(1, 1), (1, 50), (40, 25), (1000, 1000)])
def test_perfect_scores_get_the_bound_of_disjoint_pairs(n1: int, n0: int) -> None:
    """All of m disjoint pairs ranked rightly: a true AUC below p does that with probability p**m at most."""
    member = np.arange(n1 + n0) < n1
    perfect, worst = auc(member * 1.0, member), auc(-1.0 * member, member)
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.025 ** (1 / min(n1, n0)), abs=1e-12)
    assert (worst.value, worst.low, worst.high) == pytest.approx((0.0, 0.0, 1 - perfect.low))  # type: ignore[operator]
    assert perfect.method == HOEFFDING


def test_constant_scores_are_a_guess_with_an_interval() -> None:
    estimate = auc(np.zeros(1000), np.arange(1000) < 500)
    assert estimate.value == 0.5
    assert estimate.low == pytest.approx(0.5 - np.sqrt(np.log(40) / 1000), abs=2e-3)  # Hoeffding, Gaussian part
    assert estimate.high == pytest.approx(1 - estimate.low)  # type: ignore[operator]


def test_infinite_scores_are_ranks_like_others() -> None:
    member = np.array([1, 1, 0, 0], bool)
    assert auc([np.inf, 1.0, 0.0, -np.inf], member).value == 1.0
    assert auc([np.inf, -np.inf, np.inf, -np.inf], member).value == 0.5


def test_gaussian_shift_has_its_closed_form() -> None:
    rng, n = np.random.default_rng(6), 100_000
    member = np.arange(2 * n) < n
    estimate = auc(rng.normal(1.0 * member, 1.0), member)
    assert estimate.low < norm.cdf(1 / np.sqrt(2)) < estimate.high
    assert estimate.high - estimate.low < 0.005  # type: ignore[operator]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_confidence_must_be_a_probability(confidence: Any) -> None:
    with pytest.raises(StudyError, match="confidence is out of range"):
        auc([0.0, 1.0], [0, 1], confidence)
