"""Fitted scikit-learn classifiers, asked in the data's own classes and rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.data.labels import ClassLabels
from memberwise.data.rows import TableRows
from memberwise.errors import MemberwiseError, TargetError, TrainingError
from memberwise.targets.base import Target
from memberwise.targets.staged import EARLY_SHARES, predict_early, rounds_of
from memberwise.types.arrays import Array, Floats, Ints
from memberwise.types.foreign import Estimator, Values

SHOWN = 8


# Names that gradient boosters make up for columns without.
MADE_UP = re.compile(r"(Column_|f|x)?\d+")


@dataclass(frozen=True, eq=False)
class Numbered:
    """An estimator that takes no labels but 0, 1, 2 ...: fitted on numbers, ``classes_`` are the data's own labels."""

    estimator: Estimator
    classes_: Array

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "estimator":
            raise AttributeError(name)
        return getattr(self.estimator, name)

    def predict(self, x: Values) -> Array:
        """``(n,)`` labels as the data have them."""
        return self.classes_[np.asarray(self.estimator.predict(x), np.intp).reshape(len(x))]


class EstimatorModels(Target):
    """Fitted classifiers; answers are aligned to the data's classes by the labels that they were fitted on.

    Answers are ``predict_proba``'s; without it ``decision_function``'s margins, as logits (of two classes -d/2 and
    d/2); without both the labels of ``predict``. A class which a model never saw has probability 0, or a margin of
    one below its smallest.

    Args:
        estimators: of one kind. labels: the data's classes.
        rows: how records become the table rows that the models take; None: they take the numbers as they are.
        share: of a booster's rounds that answer (``targets.staged``); None: all of them.

    Raises:
        TargetError: a model was fitted on labels that are none of the data's, or on several labels a record.
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        labels: ClassLabels,
        rows: TableRows | None = None,
        share: float | None = None,
    ) -> None:
        self.estimators, self.labels, self.rows, self.share = estimators, labels, rows, share
        first = estimators[0]
        self.margins = not hasattr(first, "predict_proba") and hasattr(first, "decision_function")
        self.kind = "labels"
        if hasattr(first, "predict_proba") or self.margins:
            self.kind = "logits" if self.margins else "probabilities"
        numbered = any(isinstance(estimator, Numbered) for estimator in estimators)
        self.remarks = (*(("margins",) if self.margins else ()), *(("numbered-labels",) if numbered else ()))
        self.columns = [columns_of(estimator, labels) for estimator in estimators]
        if share is None and self.kind == "probabilities" and all(rounds_of(bare(each)) for each in estimators):
            self.early = [EstimatorModels(estimators, labels, rows, share) for share in EARLY_SHARES]

    def __len__(self) -> int:
        return len(self.estimators)

    def one(self, i: int) -> EstimatorModels:
        return EstimatorModels(self.estimators[i : i + 1], self.labels, self.rows)

    def predict(self, x: Array) -> Array:
        parts = [self._one(*each, x) for each in zip(self.estimators, self.columns, strict=True)]
        return np.stack(parts)

    def _one(self, estimator: Estimator, columns: NDArray[np.intp], x: Array) -> Array:
        try:
            records = records_for(estimator, x, self.rows)
            if self.kind == "labels":
                return self._numbers(estimator.predict(records))
            if self.share is not None:
                answers = predict_early(bare(estimator), records, self.share)
            else:
                answers = estimator.decision_function(records) if self.margins else estimator.predict_proba(records)
        except MemberwiseError:
            raise
        except Exception as error:
            raise TrainingError(
                f"{_name(estimator)} fails to answer about {len(x):,} records",
                expected=f"{'rows of the table' if self.rows else 'numbers'}, {x[0].size} columns",
                found=f"{type(error).__name__}: {_first_line(error)}",
                fix="give the records as the model takes them: the DataFrame whose columns it was fitted on, or arrays",
            ) from error
        answers = np.asarray(answers, np.float64)
        if self.margins:
            answers = class_margins(answers, len(columns), getattr(_last(estimator), "decision_function_shape", ""))
        if answers.shape != (len(x), len(columns)):
            raise TargetError(
                f"{_name(estimator)} does not answer one figure a class",
                expected=f"shape {(len(x), len(columns))}: it was fitted on {len(columns)} classes",
                found=f"shape {answers.shape}",
            )
        aligned = np.zeros((len(x), len(self.labels)))
        if self.margins:
            aligned[:] = answers.min(1, keepdims=True) - 1
        aligned[:, columns] = answers
        return aligned

    def _numbers(self, predicted: object) -> Ints:
        predicted = np.asarray(predicted)
        if predicted.ndim > 1 and predicted.shape[1] > 1:
            raise TargetError("the model answers several labels a record", expected="one label a record")
        numbers = self.labels.numbers_of(predicted)
        if (numbers < 0).any():
            raise TargetError(
                "the model answers labels that are none of the data's classes",
                expected=f"one of {_some(self.labels.values)}",
                found=_some(np.unique(predicted.reshape(-1)[numbers < 0])),
                fix="memberwise audits classifiers: is this a regressor, or one of other classes?",
            )
        return numbers.astype(np.int64)


def bare(estimator: Estimator) -> Estimator:
    """The estimator as it was given, of one that was fitted on numbers."""
    return estimator.estimator if isinstance(estimator, Numbered) else estimator


def columns_of(estimator: Estimator, labels: ClassLabels) -> NDArray[np.intp]:
    """``(c,)``: which class of the data each of the estimator's classes is.

    Raises:
        TargetError: one of them is none, or it answers several labels a record.
    """
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return np.arange(len(labels))
    if (isinstance(classes, list) and classes and np.ndim(classes[0])) or getattr(estimator, "multilabel_", False):
        raise TargetError(
            f"{_name(estimator)} answers several labels a record",
            expected="a classifier with one label a record",
            fix="audit each of its outputs as a classifier of its own",
        )
    classes = np.asarray(classes)
    columns = labels.numbers_of(classes)
    if (columns < 0).any() or len(set(columns.tolist())) < len(columns):
        raise TargetError(
            f"{_name(estimator)} was fitted on labels that are none of the data's classes",
            expected=f"some of the data's classes: {_some(labels.values)}",
            found=f"classes_ = {_some(classes)}",
            where="the label column or y",
            fix="give the data with the labels that the model was fitted on (encoded in the same way)",
        )
    return columns


def class_margins(margins: Floats, classes: int, shape: str) -> Floats:
    """``(n, classes)`` margins from what ``decision_function`` answers.

    Of two classes the one margin d is shared out, -d/2 and d/2. Margins of pairs ("ovo") become votes for each class
    and, within one vote, the sum of its margins, squeezed to less than a third: scikit-learn's own "ovr" form.
    """
    if classes == 2 and margins.size == len(margins):
        half = margins.reshape(-1, 1) / 2
        return np.hstack([-half, half])
    if classes > 2 and margins.shape[-1] == classes * (classes - 1) // 2 and (classes > 3 or shape == "ovo"):
        votes, sums = np.zeros((2, len(margins), classes))
        first, second = np.triu_indices(classes, 1)
        for one, other, margin in zip(first, second, margins.T, strict=True):
            votes[:, one] += margin > 0
            votes[:, other] += margin <= 0
            sums[:, one] += margin
            sums[:, other] -= margin
        return np.asarray(votes + sums / (3 * (np.abs(sums) + 1)))
    return margins


def records_for(estimator: Estimator, x: Array, rows: TableRows | None) -> Values:
    """Records as an estimator takes them: rows of the table, in the order of its columns, or ``(n, features)``."""
    if rows is None:
        return x.reshape(len(x), -1)
    frame = rows.frame(x)
    if rows.single:
        return frame[rows.names[0]]
    names = known_columns(estimator, rows.names)
    return frame[names] if names else frame


def known_columns(estimator: Estimator, columns: Sequence[str]) -> list[str]:
    """Names of the columns that an estimator was fitted on; empty where it was fitted on arrays, or not yet."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = getattr(estimator, "feature_names_", None)  # CatBoost's
    names = [] if names is None else [str(name) for name in names]
    made_up = all(MADE_UP.fullmatch(name) for name in names) and not set(names) <= set(columns)
    return [] if made_up else names


def _last(estimator: Estimator) -> Estimator:
    """The classifier at the end of pipelines and searches."""
    if isinstance(steps := getattr(estimator, "steps", None), list) and steps:
        return _last(steps[-1][1])
    best = getattr(estimator, "best_estimator_", None)
    return estimator if best is None else _last(best)


def _name(estimator: Estimator) -> str:
    return type(bare(estimator)).__name__


def _some(values: object) -> str:
    shown = [repr(value) for value in np.asarray(values).tolist()]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]
