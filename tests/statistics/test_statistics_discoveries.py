"""Records named as members: p-values by hand, the share of false names, thresholds carried over, spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from memberwise.errors import DataError, StudyError
from memberwise.statistics import (
    carry_over,
    conformal_p_values,
    mean_over_models,
    named_as_members,
    nonmember_scores,
    ppv,
    threshold_at_fpr,
)
from memberwise.statistics.carried import NameValue


def test_p_values_by_hand() -> None:
    found = conformal_p_values([3.0, 2.0, 1.5, 0.0], [1.0, 2.0, 2.0, 0.5])
    np.testing.assert_allclose(found, [1 / 5, 3 / 5, 3 / 5, 5 / 5])


def test_procedure_by_hand() -> None:
    p = np.array([0.001, 0.5, 0.02, 0.07, 0.9])
    assert named_as_members(p, 0.1).tolist() == [True, False, True, False, False]  # 0.07 is above 3/5 of 0.1
    assert not named_as_members(p, 0.001).any()
    assert named_as_members([], 0.1).shape == (0,)


def step_up(p: Any, q: Any) -> Any:
    """Benjamini and Hochberg's rule as written in the paper."""
    order = np.argsort(p)
    kept = [k for k in range(1, len(p) + 1) if p[order[k - 1]] <= k * q / len(p)]
    named = np.zeros(len(p), bool)
    named[order[: max(kept, default=0)]] = True
    return named


def test_procedure_agrees_with_the_paper() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        p = rng.integers(1, 40, 25) / 40 * rng.random()
        np.testing.assert_array_equal(named_as_members(p, 0.2), step_up(p, 0.2))


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.0), (4.0, 0.5)])
def test_false_names_keep_to_the_share(shift: float, least: float) -> None:
    """100 members and 100 others against 1,000 non-members of other models; 400 times."""
    rng, shares, found = np.random.default_rng(2), [], []
    for _ in range(400):
        member = np.arange(200) < 100
        named = named_as_members(conformal_p_values(rng.normal(shift * member, 1.0), rng.normal(size=1000)), 0.1)
        wrong = (named & ~member).sum() if shift else named.sum()
        shares.append(wrong / max(1, named.sum()))
        found.append((named & member).mean() * 2)
    assert np.mean(shares) <= 0.1 + 0.03
    assert np.mean(found) >= least


def test_fewer_calibration_scores_than_a_name_needs_name_nobody() -> None:
    """The smallest p-value is 1 / (k + 1): with 9 scores and 20 records even the best one is not named at 10 %."""
    p = conformal_p_values(np.r_[100.0, np.zeros(19)], np.arange(9.0))
    assert p.min() == 0.1
    assert not named_as_members(p, 0.1).any()


def test_threshold_is_the_plug_in_of_other_models() -> None:
    scores = np.r_[np.arange(100.0), 500.0]
    pairs = [(scores[:50], np.zeros(50)), (np.r_[scores[50:], np.nan], np.r_[np.zeros(50), 1, 0])]
    others = nonmember_scores(pairs)
    assert sorted(others) == list(range(100))
    for fpr, cut in ((0.1, 89.0), (0.01, 98.0), (0.001, 99.0)):
        assert threshold_at_fpr(others, fpr) == cut
        assert np.mean(others > cut) <= fpr
    with pytest.raises(DataError):
        threshold_at_fpr(nonmember_scores([]), 0.1)


def test_what_a_carried_threshold_gives() -> None:
    rng = np.random.default_rng(3)
    member = np.arange(600) < 200
    scores = rng.normal(2.0 * member, 1.0)
    scores[5] = np.nan
    found = carry_over(scores, member, rng.normal(size=5000), 0.05)
    fp, n0 = int((scores[~member] > found.threshold).sum()), 400
    exact = binomtest(fp, n0).proportion_ci(0.95, method="exact")
    assert (found.realised_fpr.value, found.realised_fpr.low, found.realised_fpr.high) == pytest.approx(
        (fp / n0, exact.low, exact.high)
    )
    assert found.tpr.n_members == 199
    assert found.to_dict()["fpr"] == 0.05
    values = found.values_of_a_name()
    assert [row.prior for row in values] == [0.01, 0.1, 0.5]
    assert values[1].value == ppv(found.counts, 0.1).value  # type: ignore[union-attr]
    assert values[0].value < values[1].value < values[2].value  # type: ignore[operator]
    nobody = carry_over(scores, member, np.full(10, 99.0), 0.05)
    assert nobody.values_of_a_name()[0] == NameValue(0.01, 0.05, None, None, None)


def test_realised_rate_is_covered() -> None:
    rng, covered = np.random.default_rng(4), 0
    for _ in range(300):
        found = carry_over(rng.normal(size=400), np.arange(400) < 200, rng.normal(size=300), 0.1)
        truth = 1 - __import__("scipy.stats").stats.norm.cdf(found.threshold)
        covered += found.realised_fpr.low <= truth <= found.realised_fpr.high
    assert covered >= 280


def test_mean_over_models_is_students() -> None:
    values = [0.2, 0.25, 0.22, 0.31]
    estimate, deviation = mean_over_models(values, 10, 12)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert (estimate.value, deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert mean_over_models([0.01, 0.2], 1, 1)[0].low == 0.0
    with pytest.raises(DataError):
        mean_over_models([0.5], 1, 1)


def test_share_is_checked() -> None:
    with pytest.raises(StudyError):
        named_as_members([0.1], 0.0)
