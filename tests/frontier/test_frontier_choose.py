"""Points, constraints and the choice among measured rows, on rows made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from memberwise.errors import MissingExtraError, StudyError
from memberwise.frontier.choose import Constraint, keeps, recommended, unbeaten
from memberwise.frontier.measure import beside_first, share
from memberwise.frontier.notes import doubts, notes_of_confirmation
from memberwise.frontier.points import UNDEFENDED, choose_points, lacks, left_out
from memberwise.study import DefendStudy, Study


def row(accuracy: float, tpr: float, high: float | None = None, **more: Any) -> dict[str, Any]:
    part = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02, "n": 500}
    return {
        "label": "point",
        "test_accuracy": part,
        "validation_accuracy": None,
        "tpr": {"value": tpr, "low": 0.0, "high": tpr + 0.02 if high is None else high, "resolvable": "yes"},
        "same_attack": True,
        "headline": "loss",
        "place": "training",
        "gap": None,
        "attack_accuracy": None,
        **more,
    }


ROWS = [row(0.90, 0.40), row(0.895, 0.30), row(0.88, 0.05), row(0.70, 0.02), row(0.60, 0.03)]


@pytest.mark.parametrize(("loss", "best"), [(0.0, 0), (0.01, 1), (0.02, 2), (0.5, 3)])
def test_the_most_private_point_within_the_loss(loss: float, best: int) -> None:
    assert recommended(ROWS, Constraint(loss, None, 0.01)) == best


@pytest.mark.parametrize(("tpr", "best"), [(0.5, 0), (0.33, 1), (0.08, 2), (0.06, 3), (0.01, None)])
def test_the_most_accurate_point_below_the_tpr(tpr: float, best: int | None) -> None:
    """The upper end of the interval counts: 0.05 [.., 0.07] does not keep to 0.06."""
    assert recommended(ROWS, Constraint(None, tpr, 0.01)) == best


def test_validation_records_decide_where_there_are_any() -> None:
    flattered = [row(0.90, 0.4), row(0.91, 0.1)]
    flattered[0]["validation_accuracy"] = flattered[0]["test_accuracy"]
    flattered[1]["validation_accuracy"] = {"value": 0.80, "low": 0.7, "high": 0.9}
    assert recommended(flattered, Constraint(0.01, None, 0.01)) == 0


def test_unbeaten_points() -> None:
    assert unbeaten(ROWS) == [0, 1, 2, 3]
    assert unbeaten([row(0.9, 0.1), row(0.8, 0.2), row(0.9, 0.1)]) == [0, 2]


@pytest.mark.parametrize("text", ["0.05", "x@0.01", "0.05@2", "1.5@0.01", "@"])
def test_a_malformed_limit_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match=r"0\.05@0\.01"):
        Constraint.of(DefendStudy(max_tpr=text))


def test_limits_as_they_are_written() -> None:
    assert Constraint.of(DefendStudy(max_tpr="0.05@0.001")) == Constraint(None, 0.05, 0.001)
    assert Constraint.of(DefendStudy(max_accuracy_loss=0.03)) == Constraint(0.03, None, 0.01)


def test_share_is_clopper_pearsons() -> None:
    from scipy.stats import binomtest

    part, exact = share(0.7, 50, 0.95), binomtest(35, 50).proportion_ci(0.95, "exact")
    assert part is not None
    assert (part["low"], part["high"]) == pytest.approx((exact.low, exact.high))
    assert share(None, 50, 0.95) is None
    assert share(0.7, 0, 0.95) is None


def test_cost_is_relative_to_the_undefended_model() -> None:
    rows = [{"seconds": seconds, "headline": "loss"} for seconds in (4.0, 10.0, None)]
    assert [r["cost"] for r in beside_first(rows)] == [1.0, 2.5, None]


def test_an_attack_that_broke_is_told() -> None:
    fine = row(0.9, 0.1) | {"label": "a", "gap": {"value": 0.6}, "attack_accuracy": {"value": 0.7, "high": 0.72}}
    broke = fine | {"label": "b", "attack_accuracy": {"value": 0.5, "high": 0.53}}
    assert [note[1].split(":")[0] for note in doubts([fine, broke])] == ["b"]
    assert not doubts([broke | {"place": "none"}]), "the undefended model broke nothing"


def test_a_rate_of_another_attack_is_unknown_and_not_zero() -> None:
    rows = [{"seconds": 1.0} | row(0.9, 0.4), {"seconds": 1.0} | row(0.9, 0.0) | {"headline": "gap", "label": "labels"}]
    table = beside_first(rows)
    assert [r["same_attack"] for r in table] == [True, False]
    assert recommended(table, Constraint(0.5, None, 0.01)) == 0
    assert recommended(table, Constraint(None, 0.05, 0.01)) is None
    assert unbeaten(table) == [0]
    assert [code for code, message in doubts(table) if "labels" in message] == ["headline-differs"]


def test_an_unknown_upper_end_keeps_to_no_limit() -> None:
    open_ended = row(0.9, 0.0)
    open_ended["tpr"]["high"] = None
    assert not keeps(open_ended, open_ended, Constraint(None, 0.5, 0.01))


def test_a_rate_that_so_few_records_cannot_resolve_is_told() -> None:
    weak = row(0.9, 0.0)
    weak["tpr"]["resolvable"] = "no"
    assert [code for code, _ in doubts([row(0.9, 0.1), weak])] == ["unresolvable-rate"]


@pytest.mark.parametrize(
    ("again", "told"),
    [
        (row(0.90, 0.1), ""),
        (row(0.80, 0.1), "does not keep"),
        (row(0.90, 0.5), "as much as the undefended"),
    ],
)
def test_the_confirmation_is_judged(again: dict[str, Any], told: str) -> None:
    plain = row(0.9, 0.4) | {"label": "undefended", "place": "none"}
    notes = notes_of_confirmation({"undefended": plain, "recommended": again}, Constraint(0.01, None, 0.01))
    assert [code for code, _ in notes] == (["not-confirmed"] if told else [])
    assert all(told in message for _, message in notes)


def study(**defend: Any) -> Study:
    return Study.model_validate({"data": {"source": "digits"}, "defend": defend})


def test_points_of_named_defences_begin_with_none() -> None:
    points = choose_points(study(defences=["rounding"], points=[{"name": "rounding", "digits": 5}]))
    assert points[0].label == UNDEFENDED
    assert {point.name for point in points[1:]} == {"rounding"}
    assert points[-1].label == "rounding digits=5"
    assert len({point.folder for point in points}) == len(points)
    made = points[-1].study(study(), "out")
    assert [answer.model_dump() for answer in made.answer] == [{"name": "rounding", "digits": 5}]


def test_an_unknown_defence_is_refused() -> None:
    with pytest.raises(StudyError, match="rounding"):
        choose_points(study(defences=["roundin"]))


def test_a_point_may_have_a_recipe_of_its_own() -> None:
    """It is trained by it, shown with it, and apart from the same defence without it."""
    own = {"learning_rate": 0.5, "epochs": 7}
    points = choose_points(study(defences=[], points=[{"name": "l1", "training": own}, {"name": "l1"}]))
    assert [point.label for point in points[1:]] == ["l1 training.learning_rate=0.5 training.epochs=7", "l1"]
    assert points[1].folder != points[2].folder
    made = [point.study(study(), "out").training for point in points]
    assert [(one.learning_rate, one.epochs) for one in made] == [(0.05, 20), (0.5, 7), (0.05, 20)]
    assert made[1].defence is not None
    assert made[1].defence.model_dump() == {"name": "l1"}
    served = choose_points(study(defences=[], points=[{"name": "rounding", "training": {"epochs": 3}}]))[1]
    assert served.study(study(), "out").training.epochs == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"hidden": [3]}}, "model"),
        ({"data": {"members": 3}}, "data"),
        ({"run": {"seed": 3}}, "run"),
        ({"seed": 3}, "no parameter seed"),
        ({"training": {"learning_rat": 0.5}}, "learning_rate"),
        ({"training": {"learning_rate": -1}}, "greater than 0"),
        ({"training": 0.5}, "a table of recipe keys"),
        ({"training": {"defence": "l1"}}, r"training\.defence"),
        ({"training": {"weight_decay": 0.5}}, r"sets training\.weight_decay itself"),
        ({"strenth": 1}, "no parameter strenth"),
    ],
)
def test_what_a_point_may_not_change_is_told_before_anything_is_trained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        choose_points(study(defences=[], points=[{"name": "l2", **options}]))


def test_every_built_in_grid_is_one_that_may_be_asked_for() -> None:
    everything = Study.model_validate(
        {
            "data": {"source": "digits", "reference": 9, "validation": 9, "population": 9},
            "defend": {"defences": ["all"]},
        }
    )
    points = choose_points(everything)
    assert {point.name for point in points} >= {"dp-sgd", "memguard", "early-stopping"}
    assert left_out(everything) == []


def test_a_missing_package_leaves_a_defence_out_of_groups_and_refuses_its_name(monkeypatch: Any) -> None:
    monkeypatch.setattr("memberwise.frontier.points.find_spec", lambda name: None if name == "opacus" else name)
    assert "dp-sgd" not in {point.name for point in choose_points(study(defences=["default"]))}
    needs = dict(left_out(study(defences=["default"])))["dp-sgd"]
    assert needs == ["the package opacus (pip install 'memberwise[dp]')"]
    with pytest.raises(MissingExtraError, match=r"memberwise\[dp\]"):
        choose_points(study(defences=["dp-sgd"]))
    with pytest.raises(MissingExtraError, match="opacus"):
        choose_points(study(defences=[], points=[{"name": "dp-sgd", "epsilon": 3.0}]))


def test_groups_leave_out_what_has_no_records_and_names_do_not() -> None:
    missing = dict(left_out(study(defences=["all"])))
    names = {point.name for point in choose_points(study(defences=["all"]))}
    assert {"relaxloss", "rounding", "answer:hamp"} <= names | {p.label for p in choose_points(study(defences=["all"]))}
    for name, needs in missing.items():
        assert name not in names
        assert needs == [f"{role} records" for role in lacks(name, study())]
        with pytest.raises(StudyError, match=needs[0]):
            choose_points(study(defences=[name]))
    assert "memguard" in missing
    assert "advreg" in missing
