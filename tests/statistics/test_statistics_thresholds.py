"""Choosing a threshold, and what it amounts to, against exhaustive search and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, precision_score, recall_score

from memberwise.errors import DataError
from memberwise.statistics import Threshold, best_threshold, decide, search_threshold

numbers = st.one_of(st.integers(-3, 3).map(float), st.sampled_from([np.inf, -np.inf, np.nan, 1e308, -1e308, 5e-324]))
models = st.lists(st.lists(st.tuples(numbers, st.booleans()), min_size=2, max_size=15), min_size=1, max_size=4)


def mean_balanced_accuracy(pairs: Any, threshold: Any) -> Any:
    accuracies = []
    for scores, member in pairs:
        scored = ~np.isnan(scores)
        s, m = scores[scored], member[scored]
        if m.any() and not m.all():
            accuracies.append((np.mean(s[m] > threshold) + np.mean(~(s[~m] > threshold))) / 2)
    return np.mean(accuracies) if accuracies else None


@pytest.mark.slow
@given(models)
def test_best_threshold_is_best_and_finite(models: Any) -> None:
    pairs = [tuple(map(np.array, zip(*model, strict=True))) for model in models]
    # every way of cutting the scores by a finite threshold
    finite = np.unique(np.concatenate([s for s, _ in pairs]))
    finite = finite[np.isfinite(finite)]
    cuts = [0.0, np.finfo(float).max, *finite, *np.nextafter(finite, -np.inf)]
    if mean_balanced_accuracy(pairs, 0.0) is None:
        with pytest.raises(DataError, match="no threshold"):
            best_threshold(pairs)  # type: ignore[arg-type]
        return
    value = best_threshold(pairs)  # type: ignore[arg-type]
    assert np.isfinite(value)
    assert mean_balanced_accuracy(pairs, value) == pytest.approx(max(mean_balanced_accuracy(pairs, t) for t in cuts))
    assert best_threshold(pairs[::-1]) == value  # type: ignore[arg-type]


def test_best_threshold_lies_midway_and_ties_go_to_the_smallest() -> None:
    assert best_threshold([([1.0, 2.0, 5.0, 7.0], [0, 0, 1, 1])]) == 3.5
    # above 0.5 and above 2.5 are equally good
    assert best_threshold([([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1])]) == 0.5
    # above 1.5, 5/6 - 1/2, and above 5.5, 2/6 - 0: equal, though sums of 1/6 in binary say otherwise
    assert best_threshold([(np.arange(8.0), [1, 0, 1, 1, 1, 0, 1, 1])]) == 1.5


def test_best_threshold_averages_models_of_different_size() -> None:
    big = (np.r_[np.zeros(100), np.ones(100)], np.r_[np.zeros(100), np.ones(100)])
    small = ([5.0, 6.0], [0, 1])
    assert 1 <= best_threshold([big, small, small]) == 5.5
    assert 0 < best_threshold([big, big, small]) < 1


def test_search_threshold_is_exhaustive_over_kaplans_grid() -> None:
    rng = np.random.default_rng(0)
    member = np.r_[np.ones(150, bool), np.zeros(400, bool)]
    scores = np.r_[rng.normal(10, 2, 150), rng.normal(8, 2, 400)]
    grid = [tenth / 10 for tenth in range(151)]
    accuracies = [balanced_accuracy_score(member, scores > tau) for tau in grid]
    value = search_threshold(scores, member)
    assert value in grid
    assert accuracies[grid.index(value)] == pytest.approx(max(accuracies))
    with_nan = search_threshold(np.r_[scores, np.nan], np.r_[member, True])
    assert with_nan == value


def test_search_threshold_has_no_drift_and_takes_smallest() -> None:
    assert search_threshold([0.3, 0.35], [0, 1]) == 0.3  # "score > 0.3" leaves 0.3 out; 3 * 0.1 would not
    assert search_threshold([2.0, 12.0], [0, 1]) == 2.0
    assert search_threshold([1.0, 1.0], [0, 1]) == 0.0


def test_decide_equals_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    member = np.arange(500) < 200
    scores = rng.normal(member, 1.0).round(1)
    decision = decide(scores, member, Threshold(0.5, "shadows"))
    called = scores > 0.5
    assert decision.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(member, called))
    assert decision.advantage.value == pytest.approx(2 * balanced_accuracy_score(member, called) - 1)
    assert decision.precision is not None
    assert decision.precision.value == pytest.approx(precision_score(member, called))
    assert decision.recall.value == pytest.approx(recall_score(member, called))
    assert decision.false_positive_rate.value == pytest.approx(recall_score(~member, called))
    for estimate in (decision.balanced_accuracy, decision.advantage, decision.precision, decision.recall,
                     decision.false_positive_rate):  # fmt: skip
        assert estimate.low < estimate.value < estimate.high  # type: ignore[operator]
        assert (estimate.n_members, estimate.n_nonmembers) == (200, 300)
    assert decision.balanced_accuracy.low == pytest.approx((1 + decision.advantage.low) / 2)  # type: ignore[operator]


def test_a_score_at_the_threshold_is_not_called_a_member() -> None:
    decision = decide([1.0, 1.0, 2.0], [1, 0, 1], Threshold(1.0, "population"))
    assert (decision.counts.true_positives, decision.counts.false_positives) == (1, 0)


def test_precision_is_none_when_nobody_is_called_a_member() -> None:
    decision = decide([1.0, 0.0], [1, 0], Threshold(9.0, "shadows"))
    assert decision.precision is None
    assert decision.recall.value == 0.0


def test_half_is_evaluated_on_the_other_half() -> None:
    other = np.array([0, 0, 1, 1, 1], bool)
    decision = decide([9.0, 9.0, 1.0, 0.0, 2.0], [0, 0, 1, 0, 1], Threshold(0.5, "half", other))
    assert (decision.recall.value, decision.false_positive_rate.value) == (1.0, 0.0)
    assert (decision.recall.n_members, decision.recall.n_nonmembers) == (2, 1)
    with pytest.raises(DataError, match="0 members"):
        decide([9.0, 9.0], [1, 0], Threshold(0.5, "half", np.array([False, True])))


def test_an_optimistic_threshold_gives_no_interval() -> None:
    decision = decide([1.0, 0.0], [1, 0], Threshold(0.5, "audited (optimistic)"))
    for estimate in (decision.balanced_accuracy, decision.advantage, decision.precision, decision.recall,
                     decision.false_positive_rate):  # fmt: skip
        assert estimate is not None
        assert estimate.low is None
        assert estimate.high is None
        assert "optimistic" in estimate.method
