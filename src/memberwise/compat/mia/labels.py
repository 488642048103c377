"""Class labels as class numbers or one-hot, and answers of models as probabilities."""

from __future__ import annotations

import numpy as np

from memberwise.errors import DataError, TargetError
from memberwise.types.arrays import Floats, Ints
from memberwise.types.foreign import Estimator, Values


def class_numbers(y: object, where: str) -> tuple[Ints, int]:
    """Class numbers ``(n,)`` and the number of classes (of plain numbers: the largest and one).

    Args:
        y: ``(n, C)`` one-hot, or ``(n,)`` class numbers.
        where: the argument's name, for messages.

    Raises:
        DataError: neither.
    """
    labels = np.asarray(y)
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2) or not len(labels):
        raise _not_labels(f"{labels.dtype} of shape {labels.shape}", where)
    if labels.ndim == 2:
        wrong = np.flatnonzero(((labels != 0) & (labels != 1)).any(1) | (labels.sum(1) != 1))
        if len(wrong):
            raise _not_labels(f"{len(wrong)} other rows of {len(labels)}, the first {labels[wrong[0]]}", where)
        return labels.argmax(1), labels.shape[1]
    if (labels != np.floor(labels)).any() or labels.min() < 0:
        raise _not_labels(f"numbers from {labels.min()} to {labels.max()}", where)
    return labels.astype(np.int64), int(labels.max()) + 1


def ask(model: Estimator, x: Values) -> Floats:
    """What the model answers, in [0, 1]: ``predict_proba`` where it has one, else ``predict``.

    Returns:
        ``(n, C)`` or ``(n,)``, a row a record.

    Raises:
        TargetError: not an array of numbers from 0 to 1 with a row a record.
    """
    answers = np.asarray((getattr(model, "predict_proba", None) or model.predict)(x), dtype=np.float64)
    if answers.ndim not in (1, 2) or len(answers) != len(x):
        raise _no_probabilities(model, f"shape {answers.shape} for {len(x)} records")
    if not ((answers >= -1e-6) & (answers <= 1 + 1e-6)).all():
        raise _no_probabilities(model, f"answers from {answers.min():.3g} to {answers.max():.3g}")
    return answers


def _not_labels(problem: str, where: str) -> DataError:
    return DataError(
        "the labels are not classes",
        expected="one-hot rows (n, classes): a single 1 among 0s; or class numbers (n,) from 0",
        found=problem,
        where=where,
        fix="numpy.eye(classes)[numbers] makes one-hot rows",
    )


def _no_probabilities(model: object, problem: str) -> TargetError:
    return TargetError(
        "the model does not answer probabilities",
        expected="numbers from 0 to 1, a row a record, from predict_proba or predict",
        found=problem,
        where=type(model).__name__,
        fix="memberwise.compat.mia.wrappers has SklearnWrapper and TorchWrapper, which do",
    )
