"""Rankings and the tail of losses, against loops and another library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_score

from memberwise.statistics.screening import precision_at, rank_correlation, ranked_from_highest, tail_share


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_places_are_those_of_a_stable_sort(values: list[int]) -> None:
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    expected = [order.index(i) + 1 for i in range(len(values))]
    assert ranked_from_highest(np.array(values, float)).tolist() == expected


def test_records_without_a_value_come_last() -> None:
    assert ranked_from_highest(np.array([np.nan, -3.0, 2.0])).tolist() == [3, 2, 1]


def test_precision_is_sklearns() -> None:
    rng = np.random.default_rng(0)
    values, exposed = rng.normal(size=300), rng.random(300) < 0.3
    flagged = values > np.sort(values)[-31]
    assert precision_at(values, exposed, 0.1) == pytest.approx(precision_score(exposed, flagged))


def test_rank_correlation_of_what_does_not_vary_is_zero() -> None:
    assert rank_correlation(np.ones(5), np.arange(5.0)) == 0.0
    assert rank_correlation(np.arange(5.0) ** 3, np.arange(5.0)) == pytest.approx(1.0)


def test_tail_is_counted_above_the_members_quantile() -> None:
    rng = np.random.default_rng(1)
    inside, outside = rng.exponential(size=500), 3 * rng.exponential(size=400)
    member = np.r_[np.ones(500, bool), np.zeros(400, bool)]
    tail = tail_share(np.r_[inside, outside], member, missed=0.02)
    assert tail.value == pytest.approx((outside > np.sort(inside)[::-1][10]).mean())
    assert (tail.n_members, tail.n_nonmembers) == (500, 400)


def test_tail_of_equal_sides_covers_what_is_missed() -> None:
    covered = 0
    for seed in range(60):
        losses = np.random.default_rng(seed).exponential(size=800)
        tail = tail_share(losses, np.arange(800) < 400, missed=0.05)
        covered += (tail.low or 0.0) <= 0.05 <= (tail.high or 1.0)
    assert covered >= 56
