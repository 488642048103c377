"""What output defences share: checked parameters, and answers as probabilities or as logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.special import softmax

from memberwise.errors import StudyError
from memberwise.targets.base import Kind, Records, Target
from memberwise.types.arrays import Array, Arrays, Floats, Ints

# From a model's number in a stack to the records it was trained on; random numbers, one generator a model.
Members = Callable[[int], Records]
Rngs = Sequence[np.random.Generator]

# The smallest value a logarithm is taken of, as where signals are read.
SMALLEST = {"probabilities": 1e-30, "scores": 1e-12}


class OutputDefence(BaseModel):
    """What a model's owner does to its answers, the same for the target and the shadow models.

    As it stands it learns nothing and asks once; each defence overrides what differs.

    Its fields are its parameters, checked; unknown ones are refused.

    Attributes:
        grid: parameters worth trying, from the weakest to the strongest, for the frontier.
        roles: records it cannot do without, such as "reference".
        alters_records: the model is asked about changed copies of a record, which token ids would not survive.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    grid: ClassVar[tuple[dict[str, object], ...]] = ({},)
    roles: ClassVar[tuple[str, ...]] = ()
    alters_records: ClassVar[bool] = False

    @property
    def keeps_label(self) -> bool:
        """The largest class never changes."""
        return True

    @property
    def queries(self) -> int:
        """How often it asks the model for one answer."""
        return 1

    def gives(self, kind: Kind) -> Kind:
        """The kind of its answers, from the kind it is given.

        Raises:
            StudyError: it can do nothing with that kind.
        """
        refuse_labels(self, kind)
        return "scores"

    def fit(self, target: Target, members: Members, reference: Records | None, rngs: Rngs) -> Sequence[object] | None:
        """What the defence learns of each of ``m`` models, or None.

        Args:
            target: the models, behind the defences before this one.
            members: from a model's number in the stack to the ``(n, ...)`` records it was trained on.
            reference: the defender's extra records, ``(k, ...)``.
            rngs: random numbers, one generator a model.
        """
        return None

    def pack(self, state: object) -> Arrays:
        """What ``fit`` learned of one model, as arrays by name, for a released model's folder.

        Raises:
            NotImplementedError: the defence learns something and does not say how it is kept.
        """
        raise NotImplementedError

    def unpack(self, arrays: Mapping[str, Array], rng: np.random.Generator) -> object:
        """What ``pack`` put away, with random numbers for answers that are not keyed."""
        raise NotImplementedError

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        """Defended ``(m, n, C)`` answers (``(m, n)`` labels); the same input, state and key give the same answer.

        Args:
            target: the models, behind the defences before this one: ``target.predict(x)`` are their answers, of kind
                ``target.kind``, and ``target.one(i)`` is the i-th of them.
            states: what ``fit`` gave. keys: ``m`` secrets, one a model: whoever trains shadow models does not know
                the target's.
        """
        raise NotImplementedError


def refuse_labels(defence: OutputDefence, kind: Kind) -> None:
    """Where nothing but the label is answered there is nothing left to change."""
    if kind == "labels":
        raise StudyError(
            f"{type(defence).__name__} needs scores, and only labels reach it",
            expected="logits or probabilities",
            found="labels",
            where="answer",
            fix="put label-only and ldl last",
        )


def as_probabilities(answers: Array, kind: Kind) -> Floats:
    """Logits through the softmax, in float64; probabilities and scores as they are.

    Args:
        answers: ``(..., C)``, which the result has too.
    """
    values = np.asarray(answers, np.float64)
    return np.asarray(softmax(values, axis=-1)) if kind == "logits" else values


def as_logits(answers: Array, kind: Kind) -> Floats:
    """Logits as they are, in float64; of anything else the logarithm.

    Args:
        answers: ``(..., C)``, which the result has too.
    """
    values = np.asarray(answers, np.float64)
    return values if kind == "logits" else np.log(np.maximum(values, SMALLEST[kind]))


def renormalised(scores: Floats) -> Floats:
    """Scores as probabilities: nothing below 1e-12 (so that no row is all zero), sum 1.

    Args:
        scores: ``(..., C)``, which the result has too.
    """
    values = np.maximum(scores, SMALLEST["scores"])
    return np.asarray(values / values.sum(-1, keepdims=True))


def with_label(values: Floats, labels: Ints) -> Floats:
    """``(..., C)`` values with their largest at ``labels`` ``(...)``.

    Where it is elsewhere the two change places; where that leaves a tie the label's is raised by a millionth.
    """
    moved = np.nonzero(values.argmax(-1) != labels)
    if not len(moved[0]):
        return values
    rows, label = values[moved], labels[moved][:, None]
    top = rows.argmax(-1)[:, None]
    largest = np.take_along_axis(rows, top, -1)
    np.put_along_axis(rows, top, np.take_along_axis(rows, label, -1), -1)
    np.put_along_axis(rows, label, largest, -1)
    raised = largest + 1e-6 * np.maximum(np.abs(largest), 1e-6)
    np.put_along_axis(rows, label, np.where(rows.argmax(-1)[:, None] == label, largest, raised), -1)
    values = values.copy()
    values[moved] = rows
    return values
