"""Fitted scikit-learn classifiers of several binary labels a record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memberwise.data import Dataset
from memberwise.data.rows import TableRows
from memberwise.errors import MemberwiseError, TargetError, TrainingError
from memberwise.targets.base import Kind, Target
from memberwise.targets.estimators import EstimatorModels, records_for
from memberwise.types.arrays import Array, Floats
from memberwise.types.foreign import Estimator


class LabelSetEstimators(Target):
    """Fitted classifiers that answer several labels; each answer is a probability, "scores", or a margin, "logits".

    Args:
        estimators: of one kind, fitted on ``(n, L)`` 0 and 1. labels: L. rows: as ``EstimatorModels`` has them.

    Raises:
        TargetError: the models answer labels alone.
    """

    def __init__(self, estimators: Sequence[Estimator], labels: int, rows: TableRows | None = None) -> None:
        self.estimators, self.labels, self.rows = estimators, labels, rows
        self.margins = not hasattr(estimators[0], "predict_proba")
        self.kind: Kind = "logits" if self.margins else "scores"
        self.remarks = ("margins",) if self.margins else ()
        if self.margins and not hasattr(estimators[0], "decision_function"):
            raise TargetError(
                f"{type(estimators[0]).__name__} answers several labels, and labels alone",
                expected="predict_proba, or decision_function",
                fix="audit each label by itself, or wrap a classifier with probabilities in MultiOutputClassifier",
            )

    def __len__(self) -> int:
        return len(self.estimators)

    def one(self, i: int) -> LabelSetEstimators:
        return LabelSetEstimators(self.estimators[i : i + 1], self.labels, self.rows)

    def predict(self, x: Array) -> Array:
        return np.stack([self._one(estimator, x) for estimator in self.estimators])

    def _one(self, estimator: Estimator, x: Array) -> Floats:
        """``(n, L)`` answers of one model."""
        try:
            records = records_for(estimator, x, self.rows)
            answers = estimator.decision_function(records) if self.margins else estimator.predict_proba(records)
        except MemberwiseError:
            raise
        except Exception as error:
            raise TrainingError(
                f"{type(estimator).__name__} fails to answer about {len(x):,} records",
                found=f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}",
                fix="give the records as the model takes them: the DataFrame whose columns it was fitted on, or arrays",
            ) from error
        if isinstance(answers, list):  # of each label the probabilities of its classes
            known = estimator.classes_
            answers = np.stack([_of_one(part, classes) for part, classes in zip(answers, known, strict=True)], 1)
        answers = np.asarray(answers, np.float64)
        if answers.shape != (len(x), self.labels):
            raise TargetError(
                f"{type(estimator).__name__} does not answer one figure a label",
                expected=f"shape {(len(x), self.labels)}",
                found=f"shape {answers.shape}",
                fix="fit it on a matrix of 0 and 1, a column a label",
            )
        return answers


def _of_one(probabilities: Array, classes: Array) -> Floats:
    """The probability of 1, ``(n,)``, of ``(n, 1)`` or ``(n, 2)``; 0 where the label never occurred."""
    here = np.flatnonzero(np.asarray(classes) == 1)
    of_label = probabilities[:, here[0]] if len(here) else np.zeros(len(probabilities))
    return np.asarray(of_label, np.float64)


def estimator_models(estimators: Sequence[Estimator], dataset: Dataset, rows: TableRows | None = None) -> Target:
    """Fitted classifiers as something that answers about a data set's classes, or its several labels."""
    if dataset.label_sets is not None:
        return LabelSetEstimators(estimators, len(dataset.outputs), rows)
    return EstimatorModels(estimators, dataset.class_labels, rows)
