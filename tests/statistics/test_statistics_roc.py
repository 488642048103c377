"""The ROC curve and the TPR at an FPR, against a slow oracle, scikit-learn and the closed form."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_curve

from memberwise.errors import DataError, StudyError
from memberwise.statistics import roc, roc_band, tpr_at

# few distinct scores, so that ties are the rule
tied = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: 0 < sum(m for _, m in pairs) < len(pairs)
)
rates = st.decimals("0", "0.999", places=3).map(str)


def slow_tpr_at(scores: Any, member: Any, rate: str) -> float:
    """The convention read aloud, with the rate as the decimal it is written as."""
    nonmembers = sorted((s for s, m in zip(scores, member, strict=True) if not m), reverse=True)
    members = [s for s, m in zip(scores, member, strict=True) if m]
    threshold = nonmembers[int(Fraction(rate) * len(nonmembers))]
    return sum(s > threshold for s in members) / len(members)  # type: ignore[no-any-return]


@given(tied, rates)
def test_tpr_at_equals_the_convention_read_aloud(pairs: Any, rate: Any) -> None:
    scores, member = zip(*pairs, strict=True)
    assert tpr_at(scores, member, float(rate)) == slow_tpr_at(scores, member, rate)


@pytest.mark.parametrize(("rate", "n0"), [("0.001", 3000), ("0.29", 100), ("0.07", 100), ("0.57", 100), ("0.1", 30)])
def test_floor_of_a_product_that_binary_numbers_miss(rate: str, n0: int) -> None:
    nonmembers = np.arange(n0, dtype=float)
    member = np.r_[np.zeros(n0, bool), np.ones(n0, bool)]
    scores = np.r_[nonmembers, nonmembers + 0.5]  # one member between any two non-members
    assert tpr_at(scores, member, float(rate)) == slow_tpr_at(scores, member, rate)
    assert tpr_at(scores, member, float(rate)) == pytest.approx((int(Fraction(rate) * n0) + 1) / n0)


def test_tpr_at_the_ends() -> None:
    scores, member = [3.0, 1.0, 2.0, 0.0], [1, 1, 0, 0]
    assert tpr_at(scores, member, 0.0) == 0.5
    assert tpr_at(scores, member, 1.0) == tpr_at(scores, member, 7.0) == 1.0
    assert tpr_at([np.inf, -np.inf, np.inf, 0.0], member, 0.5) == 0.5
    with pytest.raises(StudyError, match="out of range"):
        tpr_at(scores, member, -0.1)
    with pytest.raises(StudyError, match="out of range"):
        tpr_at(scores, member, float("nan"))


@pytest.mark.slow
@given(tied)
def test_roc_equals_scikit_learns(pairs: Any) -> None:
    scores, member = map(np.array, zip(*pairs, strict=True))
    ours, (fpr, tpr, thresholds) = roc(scores, member), roc_curve(member, scores, drop_intermediate=False)
    np.testing.assert_allclose(ours.fpr, fpr)
    np.testing.assert_allclose(ours.tpr, tpr)
    np.testing.assert_array_equal(ours.thresholds[:-1], thresholds[1:])  # ours: strictly above; theirs: at or above
    assert ours.thresholds[-1] == -np.inf


@given(tied, st.randoms(use_true_random=False))
def test_roc_ignores_order_and_strictly_increasing_transforms(pairs: Any, random: Any) -> None:
    shuffled = random.sample(pairs, len(pairs))
    first, second = (roc(*map(np.array, zip(*p, strict=True))) for p in (pairs, shuffled))
    cubed = roc(np.array([s**3 for s, _ in pairs]), np.array([m for _, m in pairs]))
    for other in (second, cubed):
        np.testing.assert_array_equal(first.fpr, other.fpr)
        np.testing.assert_array_equal(first.tpr, other.tpr)


@given(tied)
def test_roc_of_the_complement_is_the_mirror(pairs: Any) -> None:
    scores, member = map(np.array, zip(*pairs, strict=True))
    curve, mirror = roc(scores, member), roc(-scores, ~member)
    np.testing.assert_allclose(mirror.fpr, 1 - curve.tpr[::-1], atol=1e-12)
    np.testing.assert_allclose(mirror.tpr, 1 - curve.fpr[::-1], atol=1e-12)


def test_roc_starts_and_ends_in_the_corners_with_infinite_scores() -> None:
    curve = roc([np.inf, -np.inf, np.inf, -np.inf, 0.0], [1, 1, 0, 0, 1])
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)


def test_gaussian_shift_has_its_closed_form() -> None:
    rng, n, shift = np.random.default_rng(5), 200_000, 1.0
    member = np.arange(2 * n) < n
    scores = rng.normal(shift * member, 1.0)
    for rate in (0.001, 0.01, 0.1, 0.5):
        expected = norm.cdf(norm.ppf(rate) + shift)
        slope = norm.pdf(norm.ppf(rate) + shift) / norm.pdf(norm.ppf(rate))
        error = np.sqrt(expected * (1 - expected) / n + slope**2 * rate * (1 - rate) / n)
        assert abs(tpr_at(scores, member, rate) - expected) < 4 * error


@pytest.mark.slow
@given(tied, rates, st.sampled_from([0.8, 0.95, 0.999]))
def test_band_contains_the_value_and_widens_with_confidence(pairs: Any, rate: Any, confidence: Any) -> None:
    scores, member = zip(*pairs, strict=True)
    low, high = roc_band(scores, member, [float(rate)], confidence)
    wide_low, wide_high = roc_band(scores, member, [float(rate)], 0.9999)
    assert 0 <= wide_low[0] <= low[0] <= tpr_at(scores, member, float(rate)) <= high[0] <= wide_high[0] <= 1


def test_band_rises_with_the_rate() -> None:
    rng = np.random.default_rng(1)
    member = np.arange(600) < 300
    low, high = roc_band(rng.normal(member, 1.0), member, np.linspace(0, 1, 200))
    # but for where a jump of the curve comes into reach: each interval is by itself
    assert (np.diff(low) >= -0.03).all()
    assert (np.diff(high) >= -0.03).all()
    assert (np.diff(low) < 0).mean() < 0.05
    assert (np.diff(high) < 0).mean() < 0.05
    assert high[-1] == 1.0


@pytest.mark.parametrize(
    ("scores", "member", "message"),
    [
        ([1.0, np.nan], [0, 1], "NaN"),
        ([1.0, 2.0], [0, 0], "0 members and 2 non-members"),
        ([1.0, 2.0], [1, 1], "2 members and 0 non-members"),
        ([], [], "0 members and 0 non-members"),
        ([1.0, 2.0, 3.0], [0, 1], "do not fit"),
        ([[1.0, 2.0]], [[0, 1]], "do not fit"),
        ([1.0, 2.0], [0, 2], "not 0/1"),
        ([1.0, 2.0], ["0", "1"], "not 0/1"),
    ],
)
def test_bad_input_is_named(scores: Any, member: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        roc(scores, member)
