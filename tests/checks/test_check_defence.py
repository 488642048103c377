"""Built-in defences pass; each kind of broken one is told what it broke."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import memberwise
from memberwise.defences.output.registry import OUTPUT_DEFENCES, OutputDefence  # type: ignore[attr-defined]
from memberwise.defences.training.base import Options, TrainingDefence
from memberwise.defences.training.registry import TRAINING_DEFENCES
from memberwise.errors import CheckError, MemberwiseError
from memberwise.training.step import Step


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relaxloss", "weighted-smoothing", "dp-sgd"])
def test_built_in_training_defences_pass(name: str) -> None:
    memberwise.check_defence(TRAINING_DEFENCES[name])


@pytest.mark.parametrize("name", sorted(set(OUTPUT_DEFENCES) - {"image-noise", "ldl", "memguard"}))
def test_built_in_output_defences_pass(name: str) -> None:
    memberwise.check_defence(OUTPUT_DEFENCES[name]())


class Nothing(Step):
    """Plain training by another name."""


class Exploding(Step):
    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        loss, state = super().loss(network, params, state, batch, key)
        return -30 * loss.exp(), state


def named(step: type[Step]) -> TrainingDefence:
    return TrainingDefence("mine", Options, "a test", "none", step=lambda options, fit: step())


@pytest.mark.slow
@pytest.mark.parametrize(("step", "told"), [(Nothing, "plain training's")])
def test_broken_training_defences_are_told(step: type[Step], told: str) -> None:
    with pytest.raises(CheckError, match=told):
        memberwise.check_defence(named(step))


@pytest.mark.slow
def test_randomness_that_is_not_the_models_own_is_told() -> None:
    rng = np.random.default_rng()

    class Moody(Step):
        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
            loss, state = super().loss(network, params, state, batch, key)
            return loss * float(rng.random()), state

    with pytest.raises(CheckError, match="the same seed"):
        memberwise.check_defence(named(Moody))


class Flips(OutputDefence):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return -ask(x)


class Moods(OutputDefence):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return ask(x) + 1e-3 * np.random.default_rng().normal()


class Crowd(OutputDefence):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        given = ask(x)
        return given - given.mean(1, keepdims=True).max(-1, keepdims=True)


class Sums(OutputDefence):
    def gives(self, kind: Any) -> str:  # type: ignore[override]
        return "probabilities"

    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return ask(x)


@pytest.mark.parametrize(
    ("defence", "told"),
    [(Flips(), "label is kept"), (Moods(), "same answer"), (Crowd(), "what else is asked"), (Sums(), "sum to 1")],
)
def test_broken_output_defences_are_told(defence: OutputDefence, told: str) -> None:
    with pytest.raises(CheckError, match=told):
        memberwise.check_defence(defence)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    with pytest.raises(MemberwiseError):
        memberwise.check_defence(replace(named(Exploding), name="exploding"))
