"""A target that is a function, or an object that predicts: asked as it is, its answers checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from memberwise.data.labels import ClassLabels
from memberwise.errors import MemberwiseError, Note, TargetError
from memberwise.models.kinds import kind_of_label_answers
from memberwise.models.one_logit import is_one_number, number_kind
from memberwise.targets.base import Kind, Records, Target, kind_of_answers
from memberwise.targets.kinds import TargetContext
from memberwise.targets.models import OneNumber
from memberwise.types.arrays import Array, Floats
from memberwise.types.foreign import Estimator

Predict = Callable[[Records], object]
NAME = "the given target"


class FunctionTarget(Target):
    """``predict(x)``: ``(n, ...)`` float32 records in, ``(n, C)`` logits or probabilities out, as arrays or tensors.

    Args:
        predict: called with a copy of the records, in the process that asks.
        classes: C. kind: what the answers are.
    """

    def __init__(self, predict: Predict, classes: int, kind: Kind) -> None:
        self.function, self.classes, self.kind = predict, classes, kind

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        return figures(self.function, x, self.classes)[None]

    def notes(self, name: str) -> list[Note]:
        why = "no row is negative and all sum to 1" if self.kind == "probabilities" else "they do not sum to 1"
        message = f"{name} is a function, and its answers are taken as {self.kind}: {why}"
        return [Note("target-function", message)]


class LabelFunction(Target):
    """``predict(x)`` gives ``(n,)`` labels, each one of the data's classes, and nothing else."""

    kind: Kind = "labels"

    def __init__(self, predict: Predict, labels: ClassLabels) -> None:
        self.function, self.labels = predict, labels

    def __len__(self) -> int:
        return 1

    def predict(self, x: Records) -> Array:
        answers = answers_of_function(self.function, x).reshape(-1)
        numbers = self.labels.numbers_of(answers)
        if len(answers) != len(x) or (numbers < 0).any():
            raise TargetError(
                f"{NAME} answers labels that are none of the data's classes",
                expected="one of " + ", ".join(repr(value) for value in np.asarray(self.labels.values).tolist()[:8]),
                found=", ".join(repr(value) for value in answers[:8].tolist()),
            )
        return np.asarray(numbers, np.int64)[None]

    def notes(self, name: str) -> list[Note]:
        return [Note("target-function", f"{name} is a function, and answers labels alone")]


def function_target(predict: Predict, context: TargetContext) -> FunctionTarget:
    """The function as a target; the kind of its answers is told by those about a few records.

    Raises:
        TargetError: it fails at them, or answers anything but a number for every class.
    """
    predict = _of_layout(predict, context)
    if context.classes == 2 and context.dataset.label_sets is None:
        first = answers_of_function(predict, context.example)
        if first.dtype.kind == "f" and is_one_number(first.shape, len(context.example)):
            return FunctionTarget(OneNumber(predict, number_kind(first)), 2, number_kind(first))
    first = figures(predict, context.example, context.classes)
    several = context.dataset.label_sets is not None
    return FunctionTarget(predict, context.classes, (kind_of_label_answers if several else kind_of_answers)(first))


def predictor_target(predictor: Estimator, context: TargetContext) -> Target:
    """An object with ``predict_proba``, or with ``predict``, which answers figures by class or labels.

    Raises:
        TargetError: as ``function_target``; or it answers labels that are none of the data's.
    """
    if callable(getattr(predictor, "predict_proba", None)):
        return function_target(predictor.predict_proba, context)
    if context.dataset.label_sets is not None:
        return function_target(predictor.predict, context)
    predict = _of_layout(predictor.predict, context)
    answers = answers_of_function(predict, context.example)
    if answers.ndim == 1 or (answers.ndim == 2 and answers.shape[1] == 1):
        return LabelFunction(predict, context.dataset.class_labels)
    return function_target(predictor.predict, context)


def _of_layout(predict: Callable[[Any], object], context: TargetContext) -> Predict:
    """The function, asked about records as the user gave them: several inputs, or whole numbers."""
    layout = context.dataset.layout
    return predict if layout is None else lambda x: predict(layout.unpacked(x))


def figures(predict: Predict, x: Records, classes: int) -> Floats:
    """``(n, C)`` float64 answers of a function about ``(n, ...)`` records.

    Raises:
        TargetError: the function fails, or answers anything but a number for every class.
    """
    answers = answers_of_function(predict, x)
    if answers.shape != (len(x), classes):
        raise TargetError(
            f"{NAME} does not answer as the data has classes",
            expected=f"an array of shape {(len(x), classes)}: records, classes",
            found=f"answers of shape {answers.shape}",
        )
    try:
        numbers = np.asarray(answers, np.float64)
    except (TypeError, ValueError) as error:
        raise TargetError(f"{NAME} answers no numbers", found=f"{type(error).__name__}: {error}") from error
    bad = np.isnan(numbers).any(1).sum()
    if bad:
        raise TargetError(
            f"{NAME} answers NaN",
            expected="a number for every class",
            found=f"{bad:,} of {len(x):,} records without",
        )
    return numbers


def answers_of_function(predict: Predict, x: Records) -> Array:
    """What the function answers, as an array.

    Answers are ``(n, C)``.
    """
    try:
        answers = predict(x.copy())  # some work in place
        return answers.detach().cpu().numpy() if isinstance(answers, torch.Tensor) else np.asarray(answers)
    except MemberwiseError:
        raise
    except Exception as error:
        raise TargetError(
            f"{NAME} cannot answer about the data's records",
            expected=f"a function of {x.dtype} records of shape {(len(x), *x.shape[1:])}, with an answer for each",
            found=f"{type(error).__name__}: {error}",
            fix="run again with --debug for the traceback",
        ) from error
