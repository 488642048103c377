"""Points, constraints and the choice among measured rows, on rows made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memberwise.assess.canaries import CanariesPart, PerCanary
from memberwise.errors import MissingExtraError, StudyError
from memberwise.frontier.choose import Choice, Constraint, canaries_found, choose, comparable, keeps, unbeaten
from memberwise.frontier.measure import relative_to_undefended, share
from memberwise.frontier.notes import doubts, notes_of, notes_of_confirmation, resolution
from memberwise.frontier.points import UNDEFENDED, choose_points, lacks, left_out
from memberwise.frontier.schema import (
    Accuracy,
    BesideUndefended,
    ComparedPoint,
    Comparison,
    Confirmation,
    Finding,
    FrontierResult,
    Measure,
    Strongest,
    StrongestRate,
)
from memberwise.frontier.words import lead
from memberwise.report.schema import AuditWarning
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.statistics.tpr import Resolvable
from memberwise.study.schema import DefendConfig, Study


def figure(value: float, high: float | None = None) -> dict[str, Any]:
    top = value + 0.02 if high is None else high
    return {"value": value, "low": value - 0.02, "high": top, "n_members": 500, "n_nonmembers": 500, "method": "m"}


STRONGEST: dict[str, Any] = {"name": "learned", "attacks": 3, "queries": 1}


def row(accuracy: float, tpr: float, high: float | None = None, **more: Any) -> ComparedPoint:
    values: dict[str, Any] = {
        "label": "point", "defence": "d", "options": {}, "place": "training", "training": {}, "train_accuracy": 1.0,
        "test_accuracy": Accuracy(accuracy, accuracy - 0.02, accuracy + 0.02, 500, "m"), "validation_accuracy": None,
        "headline": "loss", "headline_accuracy": None,
        "tpr": StrongestRate(**figure(tpr, high), **STRONGEST, fpr=0.01, resolvable="yes"),
        "auc": Strongest(**figure(0.5 + tpr / 2), **STRONGEST),
        "rate": "yes", "attack_accuracy": None, "strongest": None, "gap": None, "attacks": (),
        "by_labels": ("label-only-noise",), "canaries": None, "epsilon": None, "delta": None, "seconds": None,
        "attack_seconds": 0.0, "warnings": (), "cost": 1.0, "beside_undefended": None,
    }  # fmt: skip
    return ComparedPoint(**values | more)


ROWS = [row(0.90, 0.40), row(0.895, 0.30), row(0.88, 0.05), row(0.70, 0.02), row(0.60, 0.03)]


def resolved(rows: list[ComparedPoint], least: float = 0.0) -> Any:
    """Differences in TPR above ``least`` are told apart."""

    def finding(one: int, other: int) -> str:
        apart = rows[one].tpr.value - rows[other].tpr.value
        return "lower" if apart < -least else "higher" if apart > least else "not told apart"

    return finding


def best(rows: list[ComparedPoint], constraint: Constraint, least: float = 0.0) -> int | None:
    return choose(rows, constraint, resolved(rows, least), "tpr").best


@pytest.mark.parametrize(("loss", "place"), [(0.0, 0), (0.01, 1), (0.02, 2), (0.5, 3)])
def test_the_most_private_point_within_the_loss(loss: float, place: int) -> None:
    assert best(ROWS, Constraint(loss, None, 0.01)) == place


@pytest.mark.parametrize(
    ("least", "place", "alike"),
    [(0.005, 3, (3,)), (0.015, 3, (3, 4)), (0.04, 2, (2, 3, 4)), (0.2, 2, (2, 3, 4)), (0.5, 0, ())],
)
def test_what_is_not_told_apart_goes_by_accuracy(least: float, place: int, alike: tuple[int, ...]) -> None:
    """The more accurate of those that are surely better than nothing; nothing where none is."""
    choice = choose(ROWS, Constraint(0.5, None, 0.01), resolved(ROWS, least), "tpr")
    assert (choice.best, choice.alike) == (place, alike)


def test_of_equally_accurate_points_the_simpler_one() -> None:
    rows = [row(0.9, 0.4), row(0.9, 0.10), row(0.9, 0.11, place="answer"), row(0.9, 0.10, place="answer", cost=9.0)]
    for constraint in (Constraint(0.1, None, 0.01), Constraint(None, 0.2, 0.01)):
        assert best(rows, constraint, least=0.05) == 3, "answers before training, then what tells least"


@pytest.mark.parametrize(("tpr", "place"), [(0.5, 0), (0.33, 1), (0.08, 2), (0.06, 3), (0.01, None)])
def test_the_most_accurate_point_below_the_tpr(tpr: float, place: int | None) -> None:
    """The upper end of the interval counts: 0.05 [.., 0.07] does not keep to 0.06."""
    assert best(ROWS, Constraint(None, tpr, 0.01)) == place


def test_validation_records_decide_where_there_are_any() -> None:
    validated = [Accuracy(value, value - 0.1, value + 0.1, 500, "m") for value in (0.90, 0.80)]
    flattered = [row(0.90, 0.4, validation_accuracy=validated[0]), row(0.91, 0.1, validation_accuracy=validated[1])]
    assert best(flattered, Constraint(0.01, None, 0.01)) == 0


def test_unbeaten_points() -> None:
    assert unbeaten(ROWS, resolved(ROWS)) == [0, 1, 2, 3]
    same = [row(0.9, 0.1), row(0.8, 0.2), row(0.9, 0.1)]
    assert unbeaten(same, resolved(same)) == [0, 2]
    assert unbeaten(same, resolved(same, 0.15)) == [0, 1, 2], "beaten only where the difference is resolved"


@pytest.mark.parametrize("rate", ["weak", "no", "ties"])
def test_no_choice_rests_on_a_rate_that_is_marked(rate: str) -> None:
    rows = [row(0.9, 0.4), row(0.9, 0.0, high=0.001, rate=rate)]
    assert comparable(rows) == "auc"
    assert comparable(rows[:1]) == "tpr"
    assert not keeps(rows[1], rows[0], Constraint(None, 0.9, 0.01))
    [note] = resolution(rows, Constraint(0.1, None, 0.01))
    assert "compared by AUC" in note[1]
    assert note[0] == ("tied-rate" if rate == "ties" else "unresolvable-rate")


def canaries(low: float, high: float, resolvable: Resolvable = "yes") -> CanariesPart:
    rates = tuple(TprAtFpr(low, low, high, 500, 500, "m", fpr=fpr, resolvable=resolvable) for fpr in (0.01, 0.1))
    zero = Estimate(low, low, high, 500, 500, "m")
    return CanariesPart(60, "mislabelled", None, "loss", 9, rates, zero, PerCanary(0.001, 0.1, 0.2, 0.5, ()))


def test_canaries_are_part_of_the_choice() -> None:
    """Whose canaries are surely found more often is not better, and a limit is for canaries too."""
    plain = row(0.9, 0.4, canaries=canaries(0.5, 0.6))
    worse, fine = (row(0.9, tpr, canaries=canaries(*ends)) for tpr, ends in ((0.05, (0.7, 0.8)), (0.1, (0.0, 0.02))))
    rows = [plain, worse, fine]
    assert best(rows, Constraint(0.1, None, 0.01)) == 2
    assert canaries_found(rows, 1, 0) == "higher"
    assert canaries_found(rows, 2, 0) == "lower"
    assert [keeps(one, plain, Constraint(None, 0.3, 0.01)) for one in rows] == [False, False, True]
    unclear = [plain, row(0.9, 0.05, canaries=canaries(0.7, 0.8, "weak"))]
    assert best(unclear, Constraint(0.1, None, 0.01)) == 1
    codes = [code for code, _ in notes_of(unclear, Choice(1, (1,)), Constraint(0.1, None, 0.01))]
    assert "canaries-unresolved" in codes


@pytest.mark.parametrize("text", ["0.05", "x@0.01", "0.05@2", "1.5@0.01", "@"])
def test_a_malformed_limit_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match=r"0\.05@0\.01"):
        Constraint.of(DefendConfig(max_tpr=text))


def test_limits_as_they_are_written() -> None:
    assert Constraint.of(DefendConfig(max_tpr="0.05@0.001")) == Constraint(None, 0.05, 0.001)
    assert Constraint.of(DefendConfig(max_accuracy_loss=0.03)) == Constraint(0.03, None, 0.01)


def test_share_is_clopper_pearsons() -> None:
    from scipy.stats import binomtest

    part, exact = share(0.7, 50, 0.95), binomtest(35, 50).proportion_ci(0.95, "exact")
    assert part is not None
    assert (part.low, part.high) == pytest.approx((exact.low, exact.high))
    assert share(None, 50, 0.95) is None
    assert share(0.7, 0, 0.95) is None


def test_cost_is_relative_to_the_undefended_model() -> None:
    rows = [row(0.9, 0.1, seconds=seconds) for seconds in (4.0, 10.0, None)]
    assert [r.cost for r in relative_to_undefended(rows)] == [1.0, 2.5, None]


def test_an_attack_that_broke_is_told() -> None:
    gap, above, below = (Estimate(value, None, value + 0.02, 500, 500, "m") for value in (0.6, 0.7, 0.5))
    fine = row(0.9, 0.1, label="a", gap=gap, headline_accuracy=above)
    broke = replace(fine, label="b", headline_accuracy=below)
    assert [note[1].split(":")[0] for note in doubts([fine, broke])] == ["b"]
    assert not doubts([replace(broke, place="none")]), "the undefended model broke nothing"


def test_a_point_that_no_label_only_attack_met_is_told() -> None:
    assert [code for code, _ in doubts([row(0.9, 0.1, by_labels=())])] == ["no-label-only-attack"]


def test_an_unknown_upper_end_keeps_to_no_limit() -> None:
    open_ended = row(0.9, 0.0)
    open_ended = replace(open_ended, tpr=replace(open_ended.tpr, high=None))
    assert not keeps(open_ended, open_ended, Constraint(None, 0.5, 0.01))


@pytest.mark.parametrize(
    ("again", "finding", "told"),
    [
        (row(0.90, 0.1), "lower", ""),
        (row(0.80, 0.1), "lower", "undefended model's): test accuracy 80.0%, undefended 90.0%"),
        (row(0.90, 0.5), "higher", "more than the undefended"),
        (row(0.90, 0.3), "not told apart", "not shown to give away less"),
    ],
)
def test_the_confirmation_is_judged(again: ComparedPoint, finding: Finding, told: str) -> None:
    plain = row(0.9, 0.4, label="undefended", place="none")
    comparison = Comparison(0.0, 0.0, 0.0, finding, "m", "tpr", {})
    notes = notes_of_confirmation(Confirmation(1, "tpr", plain, again, comparison), Constraint(0.01, None, 0.01))
    assert [code for code, _ in notes] == (["not-confirmed"] if told else [])
    assert all(told in message for _, message in notes)


FINDINGS: dict[Finding, tuple[float, float, float]] = {
    "lower": (-0.2, -0.3, -0.1),
    "higher": (0.2, 0.1, 0.3),
    "not told apart": (-0.1, -0.3, 0.1),
}


@pytest.mark.parametrize("measure", ["auc", "tpr"])
@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("again", FINDINGS)
def test_no_sentence_says_less_where_difference_is_unresolved(
    measure: Measure, finding: Finding, again: Finding
) -> None:
    first, second = (Comparison(*FINDINGS[name], name, "m", measure, {}) for name in (finding, again))
    plain = row(0.9, 0.4, label="undefended")
    defended = row(0.9, 0.2, label="d", beside_undefended=BesideUndefended(**vars(first), canaries="not told apart"))
    facts = FrontierResult(
        study={"statistics": {"confidence": 0.95}, "defend": {"max_tpr": "1@0.01"}}, seed=1, seconds=1.0, fpr=0.01,
        constraint="any", measure=measure, points=(plain, defended), unbeaten=(), recommended=1, alike=(),
        confirmation=Confirmation(1, measure, plain, defended, second), left_out=(), failed=(), warnings=(),
    )  # fmt: skip
    doubted = lead(replace(facts, warnings=(AuditWarning("not-confirmed", "m"),)))
    assert doubted == f"{lead(facts)} The choice is not confirmed: see the warnings."
    said, confirmed = lead(facts).split(" On a fresh seed: ")
    for sentence, told in ((said, finding), (confirmed, again)):
        assert ("lower by" in sentence) == (told == "lower")
        assert ("higher by" in sentence) == (told == "higher")
        assert ("not told apart" in sentence) == (told == "not told apart")
        assert not any(word in sentence for word in ("instead of", "less", "better"))


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
def test_fixed_settings_of_a_point_are_told_before_training(options: dict[str, Any], message: str) -> None:
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


def test_missing_package_drops_defence_and_refuses_its_name(monkeypatch: Any) -> None:
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


def test_words_of_a_constraint_are_in_the_units_of_the_page() -> None:
    lost = "accuracy at most 2.5 percentage points below the undefended model's"
    assert Constraint(0.025, None, 0.01).words() == lost
    assert Constraint(None, 0.05, 0.001).words() == "TPR of at most 5% at 0.1% FPR, with its whole interval"
