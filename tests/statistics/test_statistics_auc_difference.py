"""The paired difference of two AUCs: DeLong by slow loops, and coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from memberwise.errors import StudyError
from memberwise.statistics import auc, auc_difference


def drawn(rng, n1=60, n0=40, shifts=(1.0, 0.6), correlation=0.6):
    member = np.arange(n1 + n0) < n1
    common = np.sqrt(correlation) * rng.normal(size=n1 + n0)
    first, second = (common + np.sqrt(1 - correlation) * rng.normal(size=n1 + n0) + shift * member for shift in shifts)
    return first, second, member


def by_loops(first, second, member):
    """DeLong's variance of the difference, from the covariance matrices of placements."""
    placements = []
    for scores in (first, second):
        wins = (scores[member][:, None] > scores[~member]) + 0.5 * (scores[member][:, None] == scores[~member])
        placements.append((wins.mean(1), wins.mean(0)))
    of_members, of_others = (np.cov([p[side] for p in placements]) for side in (0, 1))
    total = of_members / member.sum() + of_others / (~member).sum()
    value = placements[0][0].mean() - placements[1][0].mean()
    return value, np.sqrt(total[0, 0] + total[1, 1] - 2 * total[0, 1])


@pytest.mark.parametrize("decimals", [8, 0])
def test_value_and_spread_by_slow_loops(decimals):
    first, second, member = drawn(np.random.default_rng(1))
    first, second = first.round(decimals), second.round(decimals)
    value, spread = by_loops(first, second, member)
    found = auc_difference(first, second, member, 0.9)
    assert found.value == pytest.approx(value) == pytest.approx(auc(first, member).value - auc(second, member).value)
    normal = stats.norm.ppf(0.95) * spread
    assert normal < (found.high - found.low) / 2 < 1.06 * normal, "Student t with many degrees of freedom"
    turned = auc_difference(second, first, member, 0.9)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_records_that_one_attack_did_not_score_are_left_out():
    first, second, member = drawn(np.random.default_rng(2))
    first[::9], second[::7] = np.nan, np.nan
    both = ~np.isnan(first) & ~np.isnan(second)
    assert auc_difference(first, second, member) == auc_difference(first[both], second[both], member[both])


def test_intervals_cover_and_pairing_narrows_them():
    rng, truth = np.random.default_rng(3), ndtr(1.0 / np.sqrt(2)) - ndtr(0.6 / np.sqrt(2))
    widths = {}
    for correlation in (0.0, 0.6, 0.9):
        found = [auc_difference(*drawn(rng, correlation=correlation)) for _ in range(300)]
        assert sum(one.low <= truth <= one.high for one in found) >= 0.92 * 300
        widths[correlation] = np.mean([one.high - one.low for one in found])
    assert widths[0.9] < 0.5 * widths[0.0] < widths[0.6] < widths[0.0]


def test_equal_scores_differ_by_nothing_and_perfect_ones_are_not_surely_better_on_a_handful():
    member = np.arange(8) < 4
    perfect, constant = member.astype(float), np.zeros(8)
    few = auc_difference(perfect, constant, member)
    assert few.value == 0.5
    assert few.low < 0 < few.high
    many = np.tile(member, 50)
    assert auc_difference(many.astype(float), np.zeros(400), many).low > 0.2
    same = auc_difference(perfect, perfect, member)
    assert same.value == 0
    assert same.low < 0 < same.high
    assert auc_difference(perfect[3:5], constant[3:5], member[3:5]) is None
    with pytest.raises(StudyError, match="confidence"):
        auc_difference(perfect, constant, member, 1.0)
