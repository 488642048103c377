"""A served model behind the policy's output defences: by the very same code as in an audit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from memberwise.defences.output.base import OutputDefence
from memberwise.defences.output.bounded import bounded_defence
from memberwise.defences.output.registry import output_defences
from memberwise.defences.output.served import DefendedTarget
from memberwise.errors import StudyError
from memberwise.study.entrypoint import is_entrypoint
from memberwise.study.schema import OutputDefenceConfig
from memberwise.targets.base import Kind, Records, Target
from memberwise.types.arrays import Array

FIX = "serve the folder in which the model was released: what the defence learned of its members is kept there"


class Asked(Target):
    """A model whose answers about some records are at hand.

    Args:
        x: ``(n, ...)``. answers: about them, of this kind.
    """

    def __init__(self, x: Records, answers: Array, kind: Kind) -> None:
        self.x, self.answers, self.kind = x, answers, kind

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        """``(1, n, classes)`` of the records at hand ``(n, ...)``, and of no others."""
        if x is not self.x:
            raise AsksFurtherError
        return self.answers[None]


class AsksFurtherError(Exception):
    """A defence asks the model about other records than the client's."""


class Defences:
    """Output defences of a model that was not trained here.

    Args:
        answer: of the policy. secret: of their random numbers. trust: defences of one's own that may be run.

    Raises:
        StudyError: one of them learns from the model's members, is not known, or is code that was not named.
    """

    def __init__(self, answer: Sequence[OutputDefenceConfig], secret: bytes, trust: Sequence[str]) -> None:
        entries = [one.name for one in answer if is_entrypoint(one.name) and one.name not in trust]
        if entries:
            raise StudyError(
                f"the policy names {entries[0]}, which is code of your own and is not run unless you trust it",
                where="answer",
                fix=f"trust = {json.dumps(entries)} in [model]",
            )
        self.defences = output_defences(answer)
        if (bounded := bounded_defence(self.defences)) is not None:
            raise StudyError(
                f"{type(bounded).__name__} answers from the models of an ensemble, and one model is behind it",
                expected="the folder in which memberwise released the ensemble",
                where="answer",
                fix='file = "FOLDER" in [model], and no [upstream]: a bound needs each model\'s own answer',
            )
        self.keys = [secret]
        self.states = [_state(defence, place) for place, defence in enumerate(self.defences)]

    def around(self, model: Target) -> Target:
        """The model behind them.

        Raises:
            StudyError: a defence needs scores, and labels reach it.
        """
        return DefendedTarget(model, self.defences, self.states, self.keys) if self.defences else model


def _state(defence: OutputDefence, place: int) -> Sequence[object] | None:
    """Random numbers of a defence that draws fresh ones; None of one that needs nothing."""

    def members(_: int) -> Records:
        raise StudyError(
            f"{type(defence).__name__} learns from the records that the model was trained on",
            where=f"answer[{place}]",
            fix=FIX,
        )

    rngs = [np.random.default_rng()]
    try:
        return defence.fit(_Nothing(), members, None, rngs)
    except StudyError as error:
        raise StudyError(error.problem, where=f"answer[{place}]", fix=FIX) from None


class _Nothing(Target):
    """No model: what a defence that learns would ask."""

    kind: Kind = "probabilities"

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        raise StudyError("a defence asks the model before it answers", fix=FIX)


def fingerprint(*parts: bytes) -> str:
    """SHA-256 of what answers are made by."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def answer_bytes(answer: Sequence[OutputDefenceConfig]) -> bytes:
    """A policy's output defences, for its fingerprint."""
    return json.dumps([one.model_dump(mode="json") for one in answer], sort_keys=True).encode()
