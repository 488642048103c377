"""All shadow models in turn: the recipe's figures and single people, on tables of signals with known truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_assess_turns import answers, assessed, table

from memberwise.assess.people import people_part
from memberwise.assess.sides import pair_sides
from memberwise.assess.turns import Turns, clusters_of, models_in_turn
from memberwise.attacks import ATTACKS
from memberwise.errors import StudyError
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Signals
from memberwise.statistics.personal import cross_pair_auc, pair_correlation
from memberwise.statistics.two_way import figures_of
from memberwise.study.reading import make_study

USE = {"use": ["lira-online-shrunk", "base", "loss"], "headline": "base"}


def mixed(rng: Any, records: int = 300, pairs: int = 16) -> tuple[Signals, Any, Any]:
    """A tenth of the records are learned by heart, a tenth are odd (high whoever trained on them)."""
    signals, member = table(rng, records, 2 * pairs)
    gap = np.where(np.arange(records) < records // 10, 6.0, 0.0)
    level = np.where(np.arange(records) >= records - records // 10, 8.0, 0.0)
    inside = signals.trained_on == 1
    target, shadows = (
        answers(level + gap * side + rng.normal(size=side.shape)) for side in (np.asarray(member)[None], inside)
    )
    return replace(signals, target=target, shadows=shadows), member, gap > 0


def test_the_recipe_is_the_mean_of_each_model_in_turn() -> None:
    signals, member = table(np.random.default_rng(0), records=120, models=12, gap=1.0)
    part = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}).recipe
    expected = []
    for k in range(12):
        stand_in = as_target(signals, k, np.random.default_rng(0))
        scores = ATTACKS["lira-online-shrunk"].score(stand_in.signals, np.random.default_rng(0))
        expected.append(figures_of(scores, stand_in.member, (0.1,)))
    assert (part.attack, part.models, part.trainings) == ("lira-online-shrunk", 12, 6)
    assert part.auc.value == pytest.approx(np.mean(expected, 0)[0])
    assert part.tpr_at_fpr[0].value == pytest.approx(np.mean(expected, 0)[1])
    assert part.auc.low < part.auc.value < part.auc.high
    assert {row.attack for row in part.attacks} == {"lira-online-shrunk", "base"}, "loss is not of the family"


@pytest.mark.slow
def test_the_recipe_is_surer_than_one_target() -> None:
    signals, member = table(np.random.default_rng(1), records=400, models=32, gap=1.0)
    whole = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]})
    one = next(attack.auc for attack in whole.attacks if attack.name == "lira-online-shrunk")
    assert whole.recipe.auc.high - whole.recipe.auc.low < 0.7 * (one.high - one.low)


@pytest.mark.slow
def test_people_who_are_learned_by_heart_are_named() -> None:
    signals, member, learned = mixed(np.random.default_rng(2))
    part = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}).people
    assert part.pairs == 16
    share = part.share_above[-1]
    assert share.low <= learned.mean() <= share.high
    assert part.named >= 0.8 * learned.sum()
    assert all(learned[one.index - 1000] and one.named and one.low > 0.9 for one in part.worst)


@pytest.mark.slow
def test_odd_records_are_not_named() -> None:
    signals, member, learned = mixed(np.random.default_rng(3))
    part = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}).people
    odd = np.flatnonzero(~learned)[-30:]
    assert not {one.index - 1000 for one in part.worst} & set(odd.tolist())


def test_a_score_high_either_way_names_nobody() -> None:
    """The rule needs both: found in every turn that trained on it, and seldom flagged where it was not."""
    signals, member, learned = mixed(np.random.default_rng(4))
    inside = signals.trained_on == 1
    flagged = np.where(learned, 9.0, 0.0) + np.random.default_rng(0).normal(size=inside.shape) * 0.01
    clusters = clusters_of(signals.trained_on)
    part = people_part(signals, np.asarray(member), [Turns("base", flagged, inside, clusters)], ["0"], 0.95, Seeds(0))
    assert part is not None
    assert part.named == 0


@pytest.mark.slow
def test_nobody_is_named_where_nothing_is_learned() -> None:
    named = 0
    for seed in range(5):
        signals, member = table(np.random.default_rng(seed), records=300, models=32)
        named += assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}).people.named
    assert named == 0


@pytest.mark.slow
def test_of_records_alike_in_risk_those_found_come_first() -> None:
    """With 8 pairs many records have the risk 1: file order is no reason to stand at the top."""
    signals, member = table(np.random.default_rng(9), records=300, models=16, gap=2.0)
    worst = assessed(signals, member, attacks=USE).people.worst
    assert {(one.auc, one.low, one.named) for one in worst} == {(1.0, worst[0].low, False)}
    hits = [one.found - one.flagged for one in worst]
    assert hits == sorted(hits, reverse=True)
    assert hits[0] > hits[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("models", "there"), [(14, False), (16, True)])
def test_eight_pairs_are_needed(models: int, there: bool) -> None:
    signals, member = table(np.random.default_rng(5), records=60, models=models)
    assert (assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}).people is not None) == there


def test_broken_pairs_are_left_out() -> None:
    signals, _ = table(np.random.default_rng(6), records=60, models=20)
    fewer = signals.of_models(np.delete(np.arange(20), [3]))
    sides = pair_sides(fewer)
    assert sides is not None
    assert sides.pairs == 9
    numbers = clusters_of(fewer.trained_on)
    assert sorted(np.bincount(numbers)) == [1] + [2] * 9


def test_records_in_parts_equal_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, _, _ = mixed(np.random.default_rng(11), 130, 10)
    whole = pair_sides(signals)
    first = signals.trained_on[::2] == 1
    assert signals.shadows is not None
    phi = signals.shadows.phi[:, :, 0]
    inside, outside = np.where(first, phi[::2], phi[1::2]), np.where(first, phi[1::2], phi[::2])
    monkeypatch.setattr("memberwise.assess.sides.CHUNK_VALUES", 20 * 7)
    parts = pair_sides(signals)
    assert whole is not None
    assert parts is not None
    for name, value in vars(whole).items():
        np.testing.assert_allclose(getattr(parts, name), value, rtol=1e-12, err_msg=name)
    np.testing.assert_array_equal(parts.aucs, cross_pair_auc(inside, outside))
    assert parts.correlation == pytest.approx(pair_correlation(inside, outside))


def test_of_many_pairs_the_first_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, _ = table(np.random.default_rng(12), records=40, models=24)
    monkeypatch.setattr("memberwise.assess.sides.MOST_PAIRS", 9)
    some, alone = pair_sides(signals), pair_sides(signals.of_models(np.arange(18)))
    assert some is not None
    assert alone is not None
    assert some.pairs == 9
    np.testing.assert_array_equal(some.aucs, alone.aucs)


def test_people_need_no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where turns would cost too much the shares are there, and nobody is named."""
    signals, member, _ = mixed(np.random.default_rng(13), 100, 8)
    monkeypatch.setattr("memberwise.assess.turns.COST", 0)
    part = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}).people
    assert (part.pairs, part.attack, part.named) == (8, None, 0)
    assert part.share_above[-1].high > 0


def test_labels_alone_tell_no_single_risk() -> None:
    signals, _ = table(np.random.default_rng(7), records=60, models=20)
    assert signals.shadows is not None
    assert pair_sides(replace(signals, shadows=replace(signals.shadows, kind="labels"))) is None


@pytest.mark.slow
def test_turns_are_chosen_by_the_study() -> None:
    signals, member = table(np.random.default_rng(8), records=60, models=20, gap=1.0)

    def turned(turns: object) -> Any:
        return assessed(signals, member, attacks=USE, statistics={"fpr": [0.1], "turns": turns}).recipe

    assert turned("none") is None
    assert turned("12").models == 12
    assert turned("all").models == 20
    large = replace(signals, index=np.arange(10_000_000), labels=np.zeros(10_000_000, np.int64))
    assert models_in_turn(large, None) == []
    with pytest.raises(StudyError):
        make_study({"statistics": {"turns": "some"}}, "the test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("exposed(0.9)>0.3", True),
        ("exposed(0.9)>0.02", False),
        ("recipe:auc>0.9", True),
        ("recipe:auc>0.51", False),
        ("recipe:tpr@0.1>0.12", False),
    ],
)
def test_rules_on_people_and_on_the_recipe(rule: str, passed: bool) -> None:
    signals, member, _ = mixed(np.random.default_rng(9), 600)
    gate = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}, gate={"rules": [rule]}).gate
    verdict, family = gate.judge([])
    assert verdict.passed is passed, verdict.reason
    assert (family.decision is None) == rule.startswith("exposed") or rule.startswith("recipe")
    if not passed:
        assert verdict.rules[0].broken_by[0].low > float(rule.partition(">")[2])


def test_a_rule_on_people_without_pairs_is_undecided() -> None:
    signals, member = table(np.random.default_rng(10), records=60, models=8)
    gate = assessed(signals, member, attacks=USE, statistics={"fpr": [0.1]}, gate={"rules": ["exposed(0.9)>0.1"]}).gate
    verdict, _ = gate.judge([])
    assert verdict.passed is None
    assert "8 complementary pairs" in verdict.reason
