"""A person's records together, on tables of signals with known truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_assess_turns import answers, study_of

from memberwise.assess import AttackRequest, assess
from memberwise.assess.people import people_part
from memberwise.assess.turns import Turns
from memberwise.assess.units import combined, units_part
from memberwise.data.groups import crossed, divisions
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals

PAIRS = np.repeat(np.arange(8), 2)
USE = {"use": ["lira-online-shrunk", "base"], "headline": "lira-online-shrunk"}


def table_of_people(people: int, records: int, gap: float, seed: int = 0, models: int = 16) -> tuple[Signals, Any, Any]:
    """Everybody has so many records, all on one side; each carries a little."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(people), records)
    member = (rng.permutation(people) < people // 2)[units]
    first = (rng.random((models // 2, people)).argsort(1) < people // 2)[:, units]
    trained_on = np.stack([first, ~first], 1).reshape(models, len(units)).astype(np.int8)
    level = rng.normal(size=len(units))
    target, shadows = (
        answers(level + gap * inside + rng.normal(size=inside.shape)) for inside in (member[None], trained_on == 1)
    )
    labels = np.zeros(len(units), np.int64)
    return Signals(np.arange(len(units)), labels, target, shadows, trained_on), member, units


def assessed(signals: Any, member: Any, units: Any, **values: Any) -> Any:
    study = study_of(attacks=USE, statistics={"fpr": [0.1]}, **values)
    return assess(signals, member, study, AttackRequest.of(study), Seeds(0), ["0"], units)


def test_scores_are_put_together_by_person() -> None:
    scores = np.array([[1.0, 2.0, np.nan, -3.0, np.nan]])
    units = np.array([7, 7, 7, 2, 9])
    np.testing.assert_equal(combined(scores, units, "sum"), [[-3, 3, np.nan]])
    np.testing.assert_equal(combined(scores, units, "largest"), [[-3, 2, np.nan]])


@pytest.mark.slow
def test_all_records_together_tell_more_than_one() -> None:
    whole = assessed(*table_of_people(400, 6, 0.8))
    one = next(attack.auc for attack in whole.attacks if attack.name == "lira-online-shrunk")
    together = {row.how: row.auc for row in whole.units.target}
    assert whole.units.units == 400
    assert (whole.units.records, whole.units.most_records) == (6, 6)
    assert one.n_members == together["sum"].n_members == 200, "one record of each, and everybody"
    assert together["sum"].low > one.high
    assert together["sum"].value > together["largest"].value > one.value
    recipe = {row.how: row.auc for row in whole.units.recipe}
    assert recipe["sum"].low < together["sum"].high
    assert recipe["sum"].high - recipe["sum"].low < together["sum"].high - together["sum"].low


@pytest.mark.slow
def test_people_who_tell_nothing_stay_at_guessing() -> None:
    held = 0
    for seed in range(10):
        whole = assessed(*table_of_people(60, 3, 0.0, seed, models=8))
        held += all(row.auc.low <= 0.5 <= row.auc.high for row in (*whole.units.target, *whole.units.recipe))
    assert held >= 7


@pytest.mark.slow
def test_without_units_there_is_no_such_part() -> None:
    signals, member, _ = table_of_people(100, 2, 0.5)
    assert assessed(signals, member, None).units is None


def test_columns_are_crossed_and_taken_apart_again() -> None:
    frame = pd.DataFrame({"sex": ["F", "M", None, "F"], "age": ["old", "young & fit", "old", "old"]})
    names = crossed(frame, ["sex", "age"])
    assert names[0] == "sex=F & age=old"
    assert names[1] == "sex=M & age=young and fit"
    assert names[2] == "sex=(missing) & age=old"
    first, second, both = divisions(names)
    assert first.tolist() == ["sex=F", "sex=M", "sex=(missing)", "sex=F"]
    assert second.tolist()[1] == "age=young and fit"
    assert both.tolist() == names.tolist()
    single = crossed(frame, ["sex"])
    assert [part.tolist() for part in divisions(single)] == [["F", "M", "(missing)", "F"]]


@pytest.mark.slow
def test_groups_of_several_columns_are_compared() -> None:
    rng = np.random.default_rng(1)
    signals, member, units = table_of_people(400, 1, 0.0, 1, 24)
    sex, age = rng.choice(["F", "M"], 400), rng.choice(["old", "young"], 400)
    exposed = np.where((sex == "F") & (age == "old"), 3.0, 0.0)
    inside = signals.trained_on == 1
    shadows = answers(exposed * inside + rng.normal(size=inside.shape))
    names = np.array([f"sex={a} & age={b}" for a, b in zip(sex, age, strict=True)])
    people = assessed(replace(signals, shadows=shadows, groups=names), member, units).people
    rows = {row.name: row for row in people.groups if row.by == "group"}
    assert set(rows) == {"sex=F", "sex=M", "age=old", "age=young", *names.tolist()}
    worst = rows["sex=F & age=old"]
    assert worst.p_adjusted < 0.01
    assert worst.above.value > 0.8
    assert worst.top[1].count == worst.top[1].of
    assert rows["sex=M & age=old"].difference < 0


def test_a_unit_on_both_sides_is_left_out() -> None:
    signals, member, units = table_of_people(60, 3, 0.8)
    inside = signals.trained_on == 1
    turns = Turns("base", np.random.default_rng(0).normal(size=inside.shape), inside, PAIRS)
    scores = np.random.default_rng(1).normal(size=len(units))
    whole = units_part(scores, member, units, turns, "base", (0.1,), 0.95, Seeds(0))
    split, trained_on = np.asarray(member).copy(), turns.member.copy()
    split[0], trained_on[4, 3] = ~split[0], ~trained_on[4, 3]
    fewer = units_part(scores, split, units, replace(turns, member=trained_on), "base", (0.1,), 0.95, Seeds(0))
    assert whole is not None
    assert fewer is not None
    assert (whole.units, fewer.units) == (60, 59)
    assert len(whole.recipe) == len(fewer.recipe) == 2
    counted = fewer.recipe[0].auc.n_members + fewer.recipe[0].auc.n_nonmembers
    assert counted in (58, 59), "the mean of each, rounded down, of 59"
    by_lot = np.random.default_rng(2).random(trained_on.shape) < 0.5
    alone = units_part(scores, member, units, replace(turns, member=by_lot), "base", (0.1,), 0.95, Seeds(0))
    assert alone is not None
    assert alone.recipe == (), "models that trained on parts of everybody say nothing about whole people"


@pytest.mark.slow
def test_households_of_very_unequal_sizes_tell_nothing() -> None:
    """A few large ones among many of one: their sums are far from 0 either way, and the AUC stays at guessing."""
    held = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        sizes = np.where(rng.random(120) < 0.1, 25, 1)
        signals, member, people = table_of_people(120, 25, 0.0, seed)
        kept = np.concatenate([np.flatnonzero(people == one)[:size] for one, size in enumerate(sizes)])
        rows = assessed(signals.of_records(kept), member[kept], people[kept]).units
        held += all(row.auc.low <= 0.5 <= row.auc.high for row in (*rows.target, *rows.recipe))
    assert held >= 4


def above(part: Any) -> tuple[float, float]:
    """The ends of the share above 0.8."""
    return part.share_above[2].low, part.share_above[2].high


@pytest.mark.slow
def test_a_persons_records_do_not_count_as_many_people() -> None:
    """Twenty copies of each person's record: the share's interval must be one over people."""
    held, narrower = 0, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        exposed = rng.random(60) < 0.3
        signals, member, people = table_of_people(60, 1, 0.0, seed, 32)
        inside = signals.trained_on == 1
        phi = 0.9 * inside + 2.4 * exposed * inside + rng.normal(size=inside.shape)
        copies = np.repeat(np.arange(60), 20)
        signals = replace(signals, shadows=answers(phi)).of_records(copies)
        part = people_part(signals, member[copies], (), ["0"], 0.95, Seeds(0), people[copies])
        loose = people_part(signals, member[copies], (), ["0"], 0.95, Seeds(0))
        (low, high), (loose_low, loose_high) = (above(one) for one in (part, loose))
        held += low <= float(exposed.mean()) <= high
        narrower += loose_high - loose_low < high - low
    assert held >= 5
    assert narrower == 6
