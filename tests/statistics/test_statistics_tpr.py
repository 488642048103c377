"""TPR at a fixed FPR: how its interval behaves, and what is resolvable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from memberwise.errors import StudyError
from memberwise.statistics import auto_fprs, roc_band, tpr_at_fpr
from memberwise.statistics.order import sure_ranks


def test_single_figures_and_the_band_agree() -> None:
    rng = np.random.default_rng(2)
    member = np.arange(900) < 400
    scores, grid = rng.normal(member, 1.0), np.geomspace(1e-4, 0.99, 37)
    low, high = roc_band(scores, member, grid)
    singles = [tpr_at_fpr(scores, member, rate) for rate in grid]
    np.testing.assert_array_equal(low, [e.low for e in singles])
    np.testing.assert_array_equal(high, [e.high for e in singles])


def test_ranks_of_a_large_sample_are_the_binomial_quantiles() -> None:
    strict, generous = sure_ranks(np.array([0.001, 0.01, 0.5]), 50_000, 0.95)
    for j, rate in zip(strict, (0.001, 0.01, 0.5), strict=True):
        assert beta.ppf(1 - 0.0125, j, 50_000 - j + 1) <= rate < beta.ppf(1 - 0.0125, j + 1, 50_000 - j)
    for j, rate in zip(generous, (0.001, 0.01, 0.5), strict=True):
        assert beta.ppf(0.0125, j - 1, 50_000 - j + 2) < rate <= beta.ppf(0.0125, j, 50_000 - j + 1)


@pytest.mark.parametrize(
    ("n0", "rate", "expected"),
    [(41, 0.1, "no"), (42, 0.1, "weak"), (99, 0.1, "weak"), (100, 0.1, "yes"), (436, 0.01, "no"), (437, 0.01, "weak"),
     (999, 0.01, "weak"), (1000, 0.01, "yes"), (10_000, 0.001, "yes"), (4000, 0.001, "no")],
)  # fmt: skip
def test_resolvable(n0: int, rate: float, expected: str) -> None:
    """By hand: a first order statistic exists once (1 - a)**n0 <= b/4, that is n0 >= log(80) / -log(1 - a)."""
    estimate = tpr_at_fpr(np.r_[np.full(50, 2.0), np.arange(n0) / n0], np.arange(50 + n0) < 50, rate)
    assert estimate.resolvable == expected
    assert (estimate.low == 0) == (expected == "no")


@pytest.mark.parametrize(
    ("n0", "expected"),
    [(1, [0.1]), (99, [0.1]), (100, [0.1]), (999, [0.1]), (1000, [0.1, 0.01]), (10_000, [0.1, 0.01, 0.001]),
     (10**6, [0.1, 0.01, 0.001, 0.0001, 0.00001])],
)  # fmt: skip
def test_auto_fprs_are_the_decades_with_ten_false_positives(n0: int, expected: Any) -> None:
    assert auto_fprs(n0) == expected


def test_to_dict_has_the_keys_of_result_json() -> None:
    estimate = tpr_at_fpr([3.0, 2.0, 1.0], [1, 0, 0], 0.1)
    assert list(estimate.to_dict()) == ["fpr", "value", "low", "high", "n_members", "n_nonmembers", "method",
                                        "resolvable"]  # fmt: skip
    assert (estimate.fpr, estimate.n_members, estimate.n_nonmembers) == (0.1, 1, 2)
    assert "TPR at FPR 0.1" in str(estimate)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_rates_outside_the_open_interval_are_refused(rate: Any) -> None:
    with pytest.raises(StudyError, match="out of range"):
        tpr_at_fpr([1.0, 0.0], [1, 0], rate)
