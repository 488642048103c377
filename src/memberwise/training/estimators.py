"""Scikit-learn classifiers and their like: fitted and asked in the data's own labels, on numbers or on table rows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO

import numpy as np

from memberwise.data.labels import ClassLabels
from memberwise.models.build import fresh
from memberwise.targets.estimators import Numbered
from memberwise.types.arrays import Array, Ints
from memberwise.types.foreign import Estimator, Values


def fit_estimator(estimator: Estimator, x: Values, y: Ints, labels: ClassLabels, seed: int) -> Estimator:
    """The estimator fitted on records and the data's own labels, every random state in it seeded.

    One that refuses the labels (XGBoost wants 0, 1, 2 ...) is fitted on their numbers, see ``Numbered``; not where a
    parameter speaks of the labels (``class_weight``).

    Args:
        x: ``(n, features)`` records or a table. y: ``(n,)`` class numbers, or ``(n, L)`` labels of 0 and 1.
    """
    estimator.set_params(**_random_states(estimator, seed), **_quiet(estimator))
    values = y if y.ndim == 2 else labels.values[y]
    with redirect_stdout(StringIO()):  # what is printed is not ours to print: --json owns standard output
        try:
            return estimator.fit(x, values)
        except Exception:
            numbered = None if y.ndim == 2 else _numbered(estimator, x, values)
            if numbered is None:
                raise
            return numbered


def _numbered(estimator: object, x: object, labels: Array) -> Numbered | None:
    """The estimator fitted on the numbers of these labels; None where the labels are not what it stumbled over."""
    classes, numbers = np.unique(labels, return_inverse=True)
    if _speaks_of_labels(estimator) or np.array_equal(classes, np.arange(len(classes))):
        return None
    with suppress(Exception):
        return Numbered(fresh(estimator).fit(x, numbers.reshape(-1)), classes)
    return None


def _speaks_of_labels(estimator: Estimator) -> bool:
    parameters = estimator.get_params(deep=True).items()
    return any(isinstance(value, dict) and "class_weight" in name for name, value in parameters)


def _random_states(estimator: Estimator, seed: int) -> dict[str, int]:
    """A seed for every random state of an estimator, also of those inside it (the steps of a pipeline)."""
    names = sorted(name for name in estimator.get_params(deep=True) if name.endswith("__random_state"))
    inner = dict(zip(names, np.random.default_rng(seed).integers(2**31, size=len(names)).tolist(), strict=True))
    if "random_state" in estimator.get_params():
        return {"random_state": seed} | inner
    return ({"random_seed": seed} if "random_seed" in _arguments(estimator) else {}) | inner


def _quiet(estimator: Estimator) -> dict[str, object]:
    """CatBoost writes files into the working folder unless it is told not to."""
    unsaid = "allow_writing_files" in _arguments(estimator) and "allow_writing_files" not in estimator.get_params()
    return {"allow_writing_files": False} if unsaid else {}


def _arguments(estimator: object) -> Sequence[str]:
    """What the estimator's class takes; CatBoost's ``get_params`` tells only what was set."""
    return list(inspect.signature(type(estimator).__init__).parameters)
