"""Defences that are settings write study keys; what cannot be done is refused; grids and ranges are sound."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.defences.training.registry import TRAINING_DEFENCES, write_out_defence
from memberwise.errors import StudyError
from memberwise.study.reading import make_study
from memberwise.study.schema import Study

OURS = (
    *("l2", "l1", "dropout", "early-stopping", "confidence-penalty", "augmentation", "mixup", "label-smoothing"),
    *("logit-clipping-in-training", "weighted-smoothing", "relaxloss", "hamp", "ccl", "adversarial-training"),
)


def study(defence: dict[str, Any] | None, **parts: Any) -> Study:
    training = {"augment": ["crop"], "defence": defence}
    return make_study({"training": training, **parts}, "here")


@pytest.mark.parametrize(
    ("defence", "part", "key", "value"),
    [
        ({"name": "l2", "strength": 0.02}, "training", "weight_decay", 0.02),
        ({"name": "dropout", "rate": 0.3}, "model", "dropout", 0.3),
        ({"name": "early-stopping", "patience": 4}, "training", "patience", 4),
        ({"name": "label-smoothing", "amount": 0.2}, "training", "label_smoothing", 0.2),
        ({"name": "augmentation", "use": ["flip", "crop"]}, "training", "augment", ("crop", "flip")),
        ({"name": "mixup"}, "training", "augment", ("crop", "mixup")),
        ({"name": "weighted-smoothing"}, "training", "clip_norm", 10.0),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_settings_are_study_keys(defence: dict[str, Any], part: str, key: str, value: object) -> None:
    made = write_out_defence(study(defence))
    assert getattr(getattr(made, part), key) == value
    plain = study(defence)
    changed = getattr(made, part).model_copy(update={key: getattr(getattr(plain, part), key)})
    assert made.model_copy(update={part: changed}) == plain, "nothing else is touched"
    assert write_out_defence(made) == made


@pytest.mark.parametrize(
    ("defence", "key", "own", "same"),
    [
        ({"name": "l2", "strength": 3e-4}, "training.weight_decay", 0.05, 3e-4),
        ({"name": "label-smoothing", "amount": 0.1}, "training.label_smoothing", 0.3, 0.1),
        ({"name": "early-stopping", "patience": 9}, "training.patience", 2, 9),
        ({"name": "dropout", "rate": 0.1}, "model.dropout", 0.5, 0.1),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_what_the_study_sets_itself_is_not_overwritten(
    defence: dict[str, Any], key: str, own: float, same: float
) -> None:
    part, name = key.split(".")

    def with_own(value: float) -> Study:
        values = study(defence).to_dict()
        values[part][name] = value
        return make_study(values, "here")

    parameter = next(iter(defence.keys() - {"name"}))
    with pytest.raises(StudyError, match=rf"{defence['name']} sets {key} itself(.|\n)*training\.defence\.{parameter}"):
        write_out_defence(with_own(own))
    assert write_out_defence(with_own(same)) == with_own(same)


def test_parameters_that_do_not_go_together_are_named() -> None:
    together = {"name": "weighted-smoothing", "position": "gradient", "gap_scaling": True}
    with pytest.raises(StudyError, match=r"weighted-smoothing cannot have these together(.|\n)*gap_scaling goes with"):
        write_out_defence(study(together))


@pytest.mark.parametrize("defence", [{"name": "hamp"}, {"name": "logit-clipping-in-training", "r": 1.5}])
def test_output_defences_come_first_and_once(defence: dict[str, Any]) -> None:
    made = write_out_defence(study(defence, answer=[{"name": "rounding", "digits": 2}]))
    assert [answer.name for answer in made.answer] == [defence["name"].removesuffix("-in-training"), "rounding"]
    assert write_out_defence(made) == made, "a run that is resumed begins from the study written out"


@pytest.mark.parametrize("model", ["mine.py:make", "make_model", "logistic"])
def test_dropout_is_no_setting_of_every_model(model: str) -> None:
    with pytest.raises(StudyError, match=r"model\.name = mlp, .*cnn"):
        write_out_defence(study({"name": "dropout"}, model={"name": model}))


@pytest.mark.parametrize("name", OURS)
def test_grids_are_usable_and_described(name: str) -> None:
    defence = TRAINING_DEFENCES[name]
    made = [defence.options.model_validate(point) for point in defence.grid]
    assert len(set(map(repr, made))) == len(made)
    assert len(made) >= 3 or name == "mixup"
    assert len(made) <= 5
    assert defence.source
    assert (defence.step is None) != (defence.settings is None) or name == "weighted-smoothing"
    for options in made:
        assert defence.settings is None or write_out_defence(study({"name": name, **options.model_dump(mode="json")}))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("l2", {"strength": -1}),
        ("l1", {"strength": -1e-9}),
        ("dropout", {"rate": 1}),
        ("early-stopping", {"patience": 0}),
        ("label-smoothing", {"amount": 1}),
        ("confidence-penalty", {"strength": float("nan")}),
        ("augmentation", {"use": []}),
        ("augmentation", {"use": ["rotate"]}),
        ("mixup", {"alpha": 1}),
        ("logit-clipping-in-training", {"r": 0}),
        ("weighted-smoothing", {"sigma": -0.1}),
        ("weighted-smoothing", {"warmup": 0}),
        ("relaxloss", {"alpha": -1}),
        ("relaxloss", {"upper": 0}),
        ("hamp", {"gamma": 1.1}),
        ("hamp", {"reduction": "sum"}),
        ("ccl", {"alpha": 0}),
        ("adversarial-training", {"steps": 0}),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TRAINING_DEFENCES[name].options.model_validate(options)


def test_the_list_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    lines = CliRunner().invoke(app, ["list", "defences"]).stdout.splitlines()
    shown = {line.split()[0]: line for line in reversed(lines) if "in training" in line}
    assert set(OURS) <= set(shown)
    assert "validation" in shown["early-stopping"].split("in training")[1][:20]


def test_what_is_known_about_them() -> None:
    ours = {name: TRAINING_DEFENCES[name] for name in OURS}
    assert {name for name, d in ours.items() if d.roles} == {"early-stopping"}
    assert {name for name, d in ours.items() if d.guarantee != "none"} == {"logit-clipping-in-training"}
