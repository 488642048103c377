"""Groups beside the rest: exact by hand where small, and rarely different where all are alike."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from memberwise.statistics import disparity
from memberwise.statistics.disparity import group_differences
from memberwise.statistics.personal import auc_by_pair, cross_pair_auc


def compared(risks: Any, *names: Any, seed: int = 0) -> Any:
    return group_differences(risks, [("group", part) for part in names], 0.95, np.random.default_rng(seed))


def test_a_difference_is_welchs() -> None:
    rng = np.random.default_rng(0)
    risks, names = rng.random(200), np.where(np.arange(200) < 60, "a", "b")
    rows = {row.name: row for row in compared(risks, names)}
    interval = ttest_ind(risks[:60], risks[60:], equal_var=False).confidence_interval(0.95)
    assert (rows["a"].low, rows["a"].high) == pytest.approx((interval.low, interval.high))
    assert rows["b"].difference == pytest.approx(-rows["a"].difference)
    assert rows["a"].top[1].of == 10
    assert rows["a"].top[1].count + rows["b"].top[1].count == 10


def test_the_test_is_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disparity, "SMALLEST", 2)
    risks, names = np.array([0.9, 0.8, 0.3, 0.5, 0.4]), np.array(list("aabbb"))
    [first, _] = compared(risks, names)
    seen = abs(risks[:2].sum() - 2 * risks.mean())
    draws = [abs(risks[list(one)[:2]].sum() - 2 * risks.mean()) >= seen - 1e-12 for one in permutations(range(5))]
    assert first.p == pytest.approx(np.mean(draws), abs=0.03)


def test_small_groups_are_not_compared() -> None:
    names = np.array(["few"] * 29 + ["many"] * 200 + ["more"] * 100)
    assert {row.name for row in compared(np.random.default_rng(1).random(329), names)} == {"many", "more"}


def test_holm_goes_over_all_divisions() -> None:
    rng = np.random.default_rng(2)
    risks = rng.random(300)
    first, second = rng.choice(list("abc"), 300), rng.choice(list("xy"), 300)
    rows = compared(risks, first, second)
    ordered = sorted(rows, key=lambda row: row.p)
    assert ordered[0].p_adjusted == pytest.approx(min(1, 4 * ordered[0].p)), "x and y are one comparison"
    assert len(rows) == 5
    assert all(row.p_adjusted >= row.p for row in rows)


def test_the_same_group_is_compared_once() -> None:
    rng = np.random.default_rng(4)
    sex, risks = rng.choice(["F", "M"], 200), rng.random(200)
    alone, crossed = (
        compared(risks, sex),
        compared(risks, sex, np.full(200, "one site"), np.char.add(sex, " & one site")),
    )
    assert [(row.name, row.p_adjusted) for row in crossed] == [(row.name, row.p_adjusted) for row in alone]
    assert alone[0].p_adjusted == alone[0].p


def test_of_many_groups_one_at_risk_is_seen() -> None:
    """Holm's rule over 240 asks for p-values that a few thousand draws cannot give."""
    rng = np.random.default_rng(5)
    names = [rng.choice(list("abcd"), 400) for _ in range(60)]
    risks = np.clip(rng.normal(0.55, 0.1, 400) + 0.2 * (names[3] == "c"), 0, 1)
    worst = max(compared(risks, *names), key=lambda row: row.difference)
    assert (worst.name, worst.p_adjusted < 0.05) == ("c", True)


def test_equal_risks_are_not_dealt_by_their_place() -> None:
    names = np.repeat(["first", "last"], 500)
    rows = {row.name: row for row in compared(np.full(1000, 0.99), names)}
    assert 10 < rows["first"].top[1].count < 40


@pytest.mark.slow
def test_alike_groups_seldom_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disparity, "PERMUTATIONS", 499)
    different = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        risks, names = rng.beta(0.5, 0.5, 300), rng.choice(list("abcdef"), 300, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
        different += any(row.p_adjusted < 0.05 for row in compared(risks, names, seed=seed))
    assert different <= 300 * 0.05 + 2.6 * np.sqrt(300 * 0.05 * 0.95)


def test_a_group_at_risk_is_seen() -> None:
    rng = np.random.default_rng(3)
    names = np.where(np.arange(400) < 60, "small", "large")
    risks = np.clip(rng.normal(0.55, 0.1, 400) + 0.15 * (names == "small"), 0, 1)
    rows = {row.name: row for row in compared(risks, names)}
    assert rows["small"].p_adjusted < 0.01
    assert rows["small"].low > 0.1
    assert rows["small"].top[1].value > 0.5


def drifting(seed: int, records: int, drift: float) -> tuple[Any, Any, Any]:
    """Risks of records that are all alike, and groups that each model does well or badly as a whole."""
    rng = np.random.default_rng(seed)
    names = rng.choice(6, records, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    moves = drift * rng.normal(size=(2, 12, 6))[:, :, names]
    noise = rng.normal(size=(2, 12, records))
    first, second = noise[0] + moves[0], -0.5 * noise[0] + np.sqrt(0.75) * noise[1] + moves[1]
    in_first = rng.random((12, records)) < 0.5
    inside, outside = np.where(in_first, first, second) + 1.0, np.where(in_first, second, first)
    return cross_pair_auc(inside, outside), np.array(list("abcdef"))[names], auc_by_pair(inside, outside)


@pytest.mark.slow
def test_what_models_do_to_a_group_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the records alone most audits find one; over pairs of models few do."""
    monkeypatch.setattr(disparity, "PERMUTATIONS", 199)
    monkeypatch.setattr(disparity, "PER_GROUP", 0)
    found = np.zeros(2)
    for seed in range(20):
        risks, names, by_pair = drifting(seed, 4000, 1.0)
        for place, known in enumerate((by_pair, None)):
            rows = group_differences(risks, [("group", names)], 0.95, np.random.default_rng(seed), known)
            found[place] += any(row.p_adjusted < 0.05 for row in rows)
    assert found[0] <= 3
    assert found[1] >= 12


def test_the_variance_is_that_of_two_ways() -> None:
    risks, names, by_pair = drifting(0, 400, 0.5)
    row = group_differences(risks, [("group", names)], 0.95, np.random.default_rng(0), by_pair)[0]
    assert row.difference == pytest.approx(
        np.mean([one[names == "a"].mean() - one[names != "a"].mean() for one in by_pair])
    )
    alone = compared(risks, names)[0]
    assert row.high - row.low >= alone.high - alone.low
    assert row.p >= alone.p
