"""Figures over models and records: slow loops, and coverage where models and records are drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memberwise.statistics.auc import auc
from memberwise.statistics.roc import tpr_at
from memberwise.statistics.two_way import Refitted, _weighted_figures, estimates, figures_of, two_way

FPRS = (0.1, 0.02)


@given(st.integers(0, 10_000), st.integers(4, 40))
def test_one_models_figures_are_the_usual_ones(seed: int, records: int) -> None:
    rng = np.random.default_rng(seed)
    scores, member = rng.integers(0, 8, records).astype(float), np.arange(records) % 2 == 0
    area, *rates = figures_of(scores, member, FPRS)
    assert area == pytest.approx(auc(scores, member, 0.95).value)
    assert rates == pytest.approx([tpr_at(scores, member, fpr) for fpr in FPRS])


@given(st.integers(0, 10_000))
def test_a_weight_is_so_many_copies_of_a_record(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, member = np.sort(rng.integers(0, 6, 20).astype(float))[::-1], rng.permutation(np.arange(20) % 2 == 0)
    weights = rng.integers(0, 4, 20)
    weights[np.flatnonzero(member)[0]] = weights[np.flatnonzero(~member)[0]] = 1
    copied = figures_of(np.repeat(scores, weights), np.repeat(member, weights), FPRS)
    weighted = _weighted_figures(scores, member, weights[:, None].astype(float), FPRS)[:, 0]
    np.testing.assert_allclose(weighted, copied)


def drawn(rng: Any, pairs: int, records: int, varies: float, tails: bool) -> tuple[Any, Any, Any]:
    """Scores of models in turn: a level of the record, a gain of the pair where trained on, noise within pairs."""
    first = rng.random((pairs, records)).argsort(1) < records // 2
    member = np.stack([first, ~first], 1).reshape(2 * pairs, records)
    noise = rng.standard_t(3, (2 * pairs, records)) if tails else rng.normal(size=(2 * pairs, records))
    noise[1::2] = -0.5 * noise[::2] + np.sqrt(0.75) * noise[1::2]
    gain = np.repeat(np.exp(varies * rng.normal(size=(pairs, 1))), 2, 0) * np.exp(0.8 * rng.normal(size=records)) * 0.6
    return gain * member + noise, member, np.repeat(np.arange(pairs), 2)


@pytest.mark.slow
@pytest.mark.parametrize(("varies", "tails"), [(0.0, False), (0.3, True)])
def test_intervals_cover_new_trainings_and_records(varies: float, tails: bool) -> None:
    fresh = [drawn(np.random.default_rng([9, seed]), 4, 4000, varies, tails) for seed in range(40)]
    truth = np.mean([figures_of(s, m, FPRS) for one in fresh for s, m in zip(one[0], one[1], strict=True)], 0)
    runs, held = 60, np.zeros(3)
    for seed in range(runs):
        rng = np.random.default_rng([10, seed])
        scores, member, pairs = drawn(rng, 10, 300, varies, tails)
        rows = estimates(two_way(scores, member, pairs, FPRS, rng, draws=60), 0.95, 150, 150)
        held += [one.low <= value <= one.high for one, value in zip(rows, truth, strict=True)]
    assert held[:2].min() >= 0.9 * runs, (held / runs).tolist()


def test_models_alone_would_be_too_narrow() -> None:
    rng = np.random.default_rng(0)
    scores, member, pairs = drawn(rng, 16, 300, 0.0, False)
    models = two_way(scores, member, pairs, FPRS, rng)
    low, high = models.interval(0.95)
    of_models = models.by_cluster[:, 0, 0].std(ddof=1) / 4
    assert (high - low)[0] > 1.3 * 2 * 1.96 * of_models


def test_records_of_one_person_stand_together() -> None:
    rng = np.random.default_rng(1)
    scores, member, pairs = drawn(rng, 8, 100, 0.0, False)
    copied, whose = np.repeat(scores, 5, 1), np.repeat(np.arange(100), 5)
    inside = np.repeat(member, 5, 1)
    apart = two_way(copied, inside, pairs, (0.1,), np.random.default_rng(2)).interval(0.95)
    together = two_way(copied, inside, pairs, (0.1,), np.random.default_rng(2), groups=whose).interval(0.95)
    alone = two_way(scores, member, pairs, (0.1,), np.random.default_rng(2)).interval(0.95)
    widths = [float((high - low)[0]) for low, high in (apart, together, alone)]
    assert widths[0] < 0.7 * widths[2]
    assert widths[1] == pytest.approx(widths[2], rel=0.25)


def test_a_perfect_attack_still_has_an_interval() -> None:
    member = np.stack([np.arange(40) % 2 == k % 2 for k in range(8)])
    models = two_way(member.astype(float), member, np.arange(8) // 2, (0.1,), np.random.default_rng(0))
    area, rate = estimates(models, 0.95, 20, 20)
    assert area.value == rate.value == 1
    assert area.low is not None
    assert area.low == pytest.approx(0.025 ** (1 / 20)), "Clopper-Pearson of 20 in 20"


def test_few_trainings_have_no_interval() -> None:
    rng = np.random.default_rng(3)
    models = two_way(*drawn(rng, 3, 60, 0.0, False), (0.1,), rng)
    assert [one.low for one in estimates(models, 0.95, 30, 30)] == [None, None]


def test_the_jackknife_of_means_is_their_variance() -> None:
    values = np.random.default_rng(4).normal(size=(12, 2))
    without = (values.sum(0) - values) / 11
    np.testing.assert_allclose(Refitted(without).variance, values.var(0, ddof=1) / 12)
