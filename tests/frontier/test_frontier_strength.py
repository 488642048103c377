"""The strongest attack on a point and the difference between two points, on scores made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.frontier.strength import Met, compared
from memberwise.statistics import auc, tpr_at

MEMBER = np.r_[np.ones(600, bool), np.zeros(600, bool)]
INDEX = np.arange(1200)


def attacks(seed: int = 0, noise: Any = None, fpr: float = 0.05, **shifts: Any) -> Met:
    """A point met by attacks of these strengths; attacks of one name see the same records alike at every point."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).normal(size=1200)
    scores = {}
    for name, shift in shifts.items():
        scores[name.replace("_", "-")] = 0.8 * base + 0.6 * rng.normal(size=1200) + shift * MEMBER
    return Met({**scores, **(noise or {})}, MEMBER, INDEX, fpr, 0.95)


def test_the_strongest_counts_whatever_the_others_say() -> None:
    point = attacks(loss=0.0, label_only_noise=1.5, gap=0.2)
    for measure, value in (
        ("auc", auc(point.scores["label-only-noise"], MEMBER).value),
        ("tpr", tpr_at(point.scores["label-only-noise"], MEMBER, 0.05)),
    ):
        figure = point.strongest_auc({}) if measure == "auc" else point.strongest_rate({})
        assert (figure.name, figure.value, figure.attacks) == ("label-only-noise", value, 3)
        only = attacks(label_only_noise=1.5)
        alone = only.strongest_auc({}) if measure == "auc" else only.strongest_rate({})
        assert figure.low < figure.value < figure.high  # type: ignore[operator]
        assert figure.high - figure.low > 0.9 * (alone.high - alone.low)  # type: ignore[operator]


@pytest.mark.slow
def test_interval_covers_largest_with_more_empty_attacks() -> None:
    """All attacks guess: the largest of eight estimates lies above one half, its interval reaches down to it."""
    missed = 0
    for seed in range(150):
        figure = attacks(seed, **{f"a{k}": 0.0 for k in range(8)}).strongest_auc({})
        missed += not figure.low <= 0.5 <= figure.high  # type: ignore[operator]
    assert missed <= 0.05 * 150 + 3 * np.sqrt(150 * 0.05 * 0.95)


def test_a_difference_is_told_only_where_it_is_resolved() -> None:
    plain = attacks(1, loss=1.5, gap=0.4)
    same, less = attacks(2, loss=1.5, gap=0.4), attacks(3, loss=0.4, gap=0.2)
    for measure in ("auc", "tpr"):
        assert compared(less, plain, measure).finding == "lower"
        assert compared(plain, less, measure).finding == "higher"
        assert compared(same, plain, measure).finding == "not told apart"
        one, other = compared(less, plain, measure), compared(plain, less, measure)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
        assert one.low < one.value < one.high


def test_hiding_from_one_attack_is_no_gain_if_another_sees() -> None:
    plain = attacks(1, loss=1.2, label_only_noise=1.1)
    hidden = Met({**plain.scores, "loss": np.zeros(1200)}, MEMBER, INDEX, 0.05, 0.95)
    found = compared(hidden, plain, "auc")
    assert found.finding == "not told apart"
    assert hidden.strongest_auc({}).name == "label-only-noise"


@pytest.mark.slow
def test_two_points_alike_are_rarely_told_apart() -> None:
    """Six attacks a point, whichever is strongest by chance: false claims in at most 5 %."""
    wrong = 0
    for seed in range(120):
        points = [attacks(1000 * k + seed, **{f"a{j}": 0.7 for j in range(6)}) for k in (1, 2)]
        wrong += compared(*points, "auc").finding != "not told apart"  # type: ignore[arg-type, call-arg]
    assert wrong <= 0.05 * 120 + 3 * np.sqrt(120 * 0.05 * 0.95)


def test_a_rate_that_ties_decide_is_marked() -> None:
    steps = np.where(MEMBER, INDEX % 5 > 0, INDEX % 5 > 2).astype(float)  # 80 % of members, 40 % of the others
    tied = attacks(1, noise={"label-only-noise": steps}, loss=0.0)
    assert tied.tied("label-only-noise")
    assert not tied.tied("loss")
    assert tied.rate() == "ties"
    assert attacks(1, noise={"gap": steps}, loss=3.0).rate() == "yes", "the strongest attack's scores do not tie"
    few = Met({"loss": np.arange(40.0)}, np.arange(40) % 2 == 0, np.arange(40), 0.05, 0.95)
    assert few.rate() in ("weak", "no")


def test_an_attack_on_a_few_records_is_compared_by_auc_alone() -> None:
    part = np.where(INDEX % 4 == 0, 2.0 * MEMBER + np.random.default_rng(0).normal(size=1200), np.nan)
    point = attacks(1, noise={"label-only-boundary": part}, loss=0.5)
    assert point.strongest_auc({}).name == "label-only-boundary"
    assert point.strongest_auc({}).n_members == 150
    assert point.strongest_rate({}).name == "loss"
    assert compared(point, attacks(2, loss=0.5), "auc").finding == "higher"


def test_points_of_other_records_are_no_pair() -> None:
    other = Met({"loss": np.zeros(1200)}, MEMBER[::-1], INDEX, 0.05, 0.95)
    with pytest.raises(ValueError, match="different records"):
        compared(other, attacks(1, loss=0.5), "auc")


def test_area_may_tell_where_rate_does_not_uncontradicted() -> None:
    """Some members stand out far, or all a little: by TPR the one, by AUC the other gives away more."""
    noise = np.random.default_rng(0).normal(size=1200)
    few, many = noise + 9.0 * (MEMBER & (INDEX % 10 < 3)), noise + 0.9 * MEMBER
    one, other, lifted = (
        Met({"loss": scores}, MEMBER, INDEX, 0.05, 0.95) for scores in (few, many, np.where(MEMBER, few.clip(1.0), few))
    )
    difference = compared(one, other, "tpr")
    assert difference.finding == "mixed"
    assert [part.finding for part in difference.each.values()] == ["higher", "lower"]
    assert compared(one, other, "auc").finding == "lower"
    difference = compared(lifted, one, "tpr")
    assert (difference.finding, difference.measure) == ("higher", "auc")
    assert difference.each["tpr"].finding == "not told apart", "the rate is the same"
