"""Positive predictive value under a prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.errors import StudyError
from memberwise.statistics import Counts, decide, ppv
from memberwise.statistics.prior import ratio_interval
from memberwise.statistics.thresholds import Threshold


def test_even_prior_and_balanced_counts_equal_precision() -> None:
    member = np.arange(400) < 200
    decision = decide(np.random.default_rng(0).normal(member, 1.0), member, Threshold(0.5, "shadows"))
    estimate = ppv(decision.counts, 0.5)
    assert estimate is not None
    assert decision.precision is not None
    assert estimate.value == pytest.approx(decision.precision.value)


def test_a_published_figure() -> None:
    """CIFAR-10, online LiRA (lira_analysis): TPR 3.99 %, FPR 0.002 %, prior 1 % give about 95 %."""
    estimate = ppv(Counts(3990, 100_000, 2, 100_000), 0.01)
    assert estimate is not None
    assert estimate.value == pytest.approx(0.01 * 0.0399 / (0.01 * 0.0399 + 0.99 * 0.00002))
    assert estimate.low < estimate.value < estimate.high  # type: ignore[operator]


def test_rare_members_make_accusations_worthless() -> None:
    wrong, clean = ppv(Counts(50, 100, 1, 100), 1e-9), ppv(Counts(50, 100, 0, 100), 1e-9)
    assert wrong is not None
    assert wrong.value < 1e-6
    assert clean is not None
    assert (clean.value, clean.high) == (1.0, 1.0)
    assert clean.low < 1e-6  # type: ignore[operator]
    assert ppv(Counts(0, 100, 0, 100), 0.5) is None


def test_bounds_of_the_ratio_are_quantiles_of_a_ratio_of_betas() -> None:
    rng = np.random.default_rng(2)
    low, high = ratio_interval(Counts(40, 200, 6, 300), 0.025)
    least = rng.beta(40, 161, 400_000) / rng.beta(7, 294, 400_000)
    most = rng.beta(41, 160, 400_000) / rng.beta(6, 295, 400_000)
    assert (low, high) == pytest.approx((np.quantile(least, 0.025), np.quantile(most, 0.975)), rel=0.01)
    assert ratio_interval(Counts(0, 200, 6, 300), 0.025)[0] == 0.0
    assert ratio_interval(Counts(40, 200, 0, 300), 0.025)[1] == np.inf
    whole = ratio_interval(Counts(200, 200, 300, 300), 0.025)
    assert 0.9 < whole[0] < 1 < whole[1] < 1.1


@pytest.mark.slow
def test_interval_covers_and_is_not_needlessly_wide() -> None:
    rng, tpr, fpr, prior = np.random.default_rng(1), 0.3, 0.05, 0.1
    truth = prior * tpr / (prior * tpr + (1 - prior) * fpr)
    estimates = [ppv(Counts(int(rng.binomial(300, tpr)), 300, int(rng.binomial(300, fpr)), 300), prior)
                 for _ in range(1000)]  # fmt: skip
    assert np.mean([e is not None and e.low <= truth <= e.high for e in estimates]) >= 0.95  # type: ignore[operator]


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, float("nan")])
def test_prior_is_checked(prior: Any) -> None:
    with pytest.raises(StudyError, match="prior is out of range"):
        ppv(Counts(1, 2, 1, 2), prior)
