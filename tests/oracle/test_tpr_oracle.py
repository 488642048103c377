"""TPR at a fixed FPR against the slow conventions, every rank of the threshold tried in turn."""

from __future__ import annotations

import conventions as slow
import numpy as np
import pytest

from memberwise.statistics import tpr_at_fpr


@pytest.mark.slow
@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize(("n1", "n0"), [(1, 1), (30, 7), (80, 120), (200, 400)])
def test_interval_by_trying_every_rank(n1: int, n0: int, decimals: int) -> None:
    rng = np.random.default_rng(n0)
    members, nonmembers = rng.normal(1, 1, n1).round(decimals), rng.normal(0, 1, n0).round(decimals)
    scores, member = np.r_[members, nonmembers], np.arange(n1 + n0) < n1
    for rate in (0.001, 0.01, 0.05, 0.3, 0.9):
        for confidence in (0.95, 0.8):
            estimate = tpr_at_fpr(scores, member, rate, confidence)
            value, low, high, resolvable = slow.tpr_at_fpr(scores, member, rate, confidence)
            assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, low, high), abs=2e-7), rate
            assert estimate.resolvable == resolvable
