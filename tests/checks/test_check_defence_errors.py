"""What a user's own training defence raises, or names wrongly, is told as a finding and not raised as it is."""

from __future__ import annotations

from typing import Any

import pytest

import memberwise
from memberwise.defences.training.base import Options, TrainingDefence
from memberwise.defences.training.registry import TRAINING_DEFENCES
from memberwise.errors import CheckError
from memberwise.training.step import Step


class Half(Step):
    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        loss, state = super().loss(network, params, state, batch, key)
        return loss / 2, state


class Raises(Step):
    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> None:  # type: ignore[override]
        raise KeyError("nope")


class Alone(Step):
    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> Any:
        return super().loss(network, params, state, batch, key)[0]


class Branches(Step):
    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        loss, state = super().loss(network, params, state, batch, key)
        return (loss * 2 if loss > 1 else loss), state


class NoNumber(Step):
    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        loss, state = super().loss(network, params, state, batch, key)
        return loss * float("nan"), state


class RoleSpec(Half):
    needs = frozenset({"refrence"})


class Undeclared(Half):
    needs = frozenset({"reference"})


class Letters(Options):
    letters: list[str]


def training(**parts: Any) -> TrainingDefence:
    given: dict[str, Any] = {"name": "mine", "options": Options, "summary": "a test", "source": "none"} | parts
    if not set(given) & {"step", "procedure", "settings", "answer"}:
        given["step"] = lambda options, fit: Half()
    return TrainingDefence(**given)


def refused(defence: Any) -> CheckError:
    with pytest.raises(CheckError) as caught:
        memberwise.check_defence(defence)
    return caught.value


@pytest.mark.parametrize(
    ("step", "cause", "told"),
    [
        (Raises, KeyError, ["its Raises", "KeyError: 'nope'", "in loss, test_check_defence_errors.py line"]),
        (Alone, RuntimeError, ["its Alone", "loss (mean loss, state)"]),
        (Branches, RuntimeError, ["its Branches", "torch.where"]),
        (NoNumber, Exception, ["loss is nan", "training.learning_rate"]),
        (lambda: None, type(None), ["an instance of Step: found None"]),
        (lambda: Half, type(None), ["found the class Half"]),
        (RoleSpec, type(None), ["'refrence'"]),
        (Undeclared, type(None), ["roles name the records"]),
    ],
)
def test_what_goes_wrong_in_a_step_is_a_finding(step: Any, cause: type, told: list[str]) -> None:
    error = refused(training(step=lambda options, fit: step()))
    assert isinstance(error.__cause__, cause)
    assert all(words in str(error) for words in told), str(error)


def test_a_maker_with_other_parameters_is_a_finding() -> None:
    error = refused(training(step=lambda options: Half()))
    assert "step(options, fit) runs" in str(error)
    assert isinstance(error.__cause__, TypeError)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"roles": ("refrence",)}, "roles are of reference, validation: found 'refrence'"),
        ({"roles": "reference"}, "roles is a tuple"),
        ({"grid": ({"a": 1},)}, "the grid's {'a': 1} is read"),
        ({"grid": ({"training": {"nokey": 1}},)}, "training.nokey"),
        ({"grid": ()}, "grid is a tuple"),
        ({"grid": ("a",)}, "every point of grid"),
        ({"options": None}, "options is a class of parameters: found None"),
        ({"options": Letters}, "options() makes the defaults"),
        ({"settings": lambda o, s: {"training.nokey": 1}}, "unknown study key training.nokey"),
        ({"settings": lambda o, s: {"training.epochs": -1}}, "training.epochs"),
        ({"settings": lambda o, s: s["nope"]["x"]}, "settings(options, study) runs without an error: found KeyError"),
        ({"settings": lambda o, s: None}, "settings gives a dictionary"),
        ({"settings": lambda o, s: s.pop("model") and {}}, "settings leaves the study as it is"),
        (
            {"settings": lambda o, s: {"training.epochs": 9}, "grid": ({"training": {"epochs": 5}},)},
            "by the grid's training table: found epochs",
        ),
        ({"answer": lambda o: [{"name": "nosuch"}]}, "there is no output defence nosuch"),
        ({"answer": lambda o: [{"name": "rounding", "digits": -1, "q": 2}]}, "rounding"),
        ({"answer": lambda o: {"name": "rounding"}}, "answer gives a list"),
        ({"answer": lambda o: o.missing}, "answer(options) runs"),
        ({"check": lambda o, f: []}, "check(options, fit, module) runs"),
        ({"check": lambda o, f, m: None}, "check gives a list"),
        ({"step": None}, "which is plain training"),
        ({"step": "half"}, "step is a function: found 'half'"),
    ],
)
def test_what_a_defence_names_must_exist(parts: dict[str, Any], told: str) -> None:
    assert told in str(refused(training(**parts)))


def test_everything_wrong_in_what_it_names_is_told_at_once() -> None:
    wrong = training(roles=("x",), step="a", grid=({},))
    assert {"'x'", "'a'"} <= set(str(refused(wrong)).replace(";", " ").split())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["l2", "label-smoothing", "hamp", "early-stopping", "logit-clipping-in-training"])
def test_built_in_defences_that_set_keys_pass(name: str) -> None:
    memberwise.check_defence(TRAINING_DEFENCES[name])
