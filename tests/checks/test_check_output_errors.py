"""What a user's own output defence raises, or states wrongly, is told as a finding; so is what is no defence."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import memberwise
from memberwise.defences.output.registry import OUTPUT_DEFENCES, OutputDefence  # type: ignore[attr-defined]
from memberwise.defences.training.base import TrainingDefence
from memberwise.errors import CheckError


def refused(defence: Any) -> CheckError:
    with pytest.raises(CheckError) as caught:
        memberwise.check_defence(defence)
    return caught.value


class Out(OutputDefence):
    t: float = 1.0

    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return np.asarray(ask(x)) / self.t


class Fails(Out):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> None:  # type: ignore[override]
        raise KeyError("z")


class FailsToFit(Out):
    def fit(self, ask: Any, members: Any, reference: Any, rngs: Any) -> Any:
        return members(0)["rows"]


class OneState(Out):
    def fit(self, ask: Any, members: Any, reference: Any, rngs: Any) -> list[Any]:
        return [0.5]


class OtherKind(Out):
    def gives(self, kind: Any) -> str:  # type: ignore[override]
        return "probs"


class Negative(Out):
    """Sums to 1, and is no probability."""

    def gives(self, kind: Any) -> str:  # type: ignore[override]
        return "probabilities"

    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        logits = np.asarray(ask(x))
        return logits - logits.mean(-1, keepdims=True) + 1 / logits.shape[-1]


class Listed(Out):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return np.asarray(ask(x)).tolist()


class Texts(Out):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return np.asarray(ask(x)).astype(str)


class Wipes(Out):
    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        given = np.asarray(ask(x))
        x[:] = 0
        return given


class NoClass(Out):
    def gives(self, kind: Any) -> str:  # type: ignore[override]
        return "labels"

    def answer(self, ask: Any, x: Any, states: Any, keys: Any) -> Any:
        return np.asarray(ask(x)).argmax(-1) + 1


class OtherRole(Out):
    roles: ClassVar[tuple[str, ...]] = ("refrence",)


class OtherGrid(Out):
    grid: ClassVar[tuple[dict[str, Any], ...]] = ({"q": 1},)


class NoCount(Out):
    @property
    def queries(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("defence", "told"),
    [
        (Fails(), "answer(target, x, states, keys) runs without an error: found KeyError: 'z' (in answer"),
        (FailsToFit(), "fit(target, members, reference, rngs) runs"),
        (OneState(), "one state a model"),
        (OtherKind(), "is one of logits, probabilities, scores, labels: found 'probs'"),
        (Negative(), "probabilities of at least 0"),
        (Listed(), "found a list"),
        (Texts(), "an array of <U"),
        (Wipes(), "the records are left as they were"),
        (NoClass(), "labels are class numbers from 0 to 2"),
        (OtherRole(), "'refrence'"),
        (OtherGrid(), "the grid's {'q': 1}"),
        (NoCount(), "queries is a count"),
    ],
)
def test_what_goes_wrong_in_an_output_defence_is_a_finding(defence: OutputDefence, told: str) -> None:
    assert told in str(refused(defence))


def test_the_error_itself_is_kept() -> None:
    assert isinstance(refused(Fails()).__cause__, KeyError)


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (Out, "check_defence(Out(...))"),
        (TrainingDefence, "found the class TrainingDefence"),
        ("l2", 'TRAINING_DEFENCES["l2"]'),
        ("rounding", 'OUTPUT_DEFENCES["rounding"]()'),
        ("nosuch", "found 'nosuch'"),
        (None, "found None"),
        (torch.relu, "found a builtin_function_or_method"),
        (refused, "found a function"),
    ],
)
def test_what_is_no_defence_is_told(thing: Any, told: str) -> None:
    assert told in str(refused(thing))


@pytest.mark.parametrize("name", ["temperature", "ldl"])
def test_output_defences_still_pass(name: str) -> None:
    memberwise.check_defence(OUTPUT_DEFENCES[name]())
