"""What an unfitted estimator takes, tried on a few records where it is in doubt."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from memberwise.auditing.prepare.forms import How, Representation
from memberwise.data import Dataset, Roles
from memberwise.data.dataset import as_float
from memberwise.models.build import Model
from memberwise.targets.estimators import records_for
from memberwise.targets.label_set_estimators import estimator_models
from memberwise.training.estimators import fit_estimator
from memberwise.types.arrays import Ints
from memberwise.types.foreign import Estimator

# An estimator is tried on about so many records where it is in doubt what it takes.
TRIED = 60
# Parameters by which estimators take categories as they are, and libraries whose estimators find them by type.
NATIVE = ("categorical_features", "enable_categorical", "cat_features", "text_features")
NATIVE_LIBRARIES = ("lightgbm",)
KNOWN_LIBRARIES = ("sklearn", "xgboost", "lightgbm", "catboost", "imblearn")
COMPOSITES = ("Pipeline", "ColumnTransformer", "FeatureUnion", "make_column_selector")


class Trial:
    """An unfitted estimator, tried on a few records where it is in doubt what it takes."""

    def __init__(self, model: Model, dataset: Dataset, roles: Roles, columns: Sequence[str]) -> None:
        self.model, self.dataset, self.roles, self.columns = model, dataset, roles, columns
        self.parts = _parts(model.make()) if model.kind == "estimator" else []

    @property
    def composite(self) -> bool:
        """It has its own preprocessing."""
        return any(base.__name__ in COMPOSITES for part in self.parts for base in type(part).__mro__)

    @property
    def native(self) -> bool:
        """It may take categories and missing values as they are."""
        names = {name for part in self.parts for name in _parameters(part)}
        return bool(names & set(NATIVE)) or any(_library(part) in NATIVE_LIBRARIES for part in self.parts)

    @property
    def known(self) -> bool:
        """It is of a library whose estimators take numbers."""
        return all(_library(part) in KNOWN_LIBRARIES for part in self.parts[:1])

    @property
    def has_missing(self) -> bool:
        frame = self.dataset.frame
        return bool(np.isnan(self.dataset.x).any()) if frame is None else bool(frame.isna().any(axis=None))

    def works(self, how: How) -> bool:
        """It can be fitted on a few records given so, and answers about them."""
        dataset, data = self.dataset, Representation.of(self.dataset, how, self.columns)
        rows = _tried(dataset, self.roles)
        x = as_float(data.x[rows]) if how == "numbers" else data.x[rows]
        labels, true_labels = dataset.class_labels, dataset.answers_wanted[rows]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fitted = fit_estimator(self.model.make(), records_for(None, x, data.rows), true_labels, labels, 0)
                estimator_models([fitted], dataset, data.rows).predict(x)
        except Exception:
            return False
        return True


def _tried(dataset: Dataset, roles: Roles) -> Ints:
    """Rows to try an estimator on: the first of every class, and some with missing values."""
    rows = roles.target_rows
    each = int(np.clip(TRIED // len(dataset.classes), 2, 10))
    first = [rows[dataset.y[rows] == number][:each] for number in range(len(dataset.classes))]
    frame = dataset.frame
    gaps = np.isnan(dataset.x).reshape(dataset.records, -1).any(1) if frame is None else frame.isna().any(axis=1)
    return np.unique(np.concatenate([*first, rows[np.asarray(gaps)[rows]][:TRIED]]))


def _parts(estimator: Estimator) -> list[Estimator]:
    """The estimator and all objects inside it."""
    values = estimator.get_params(deep=True).values()
    inner = [part for value in values for part in (value if isinstance(value, list) else [value])]
    flat = [part for each in inner for part in (each if isinstance(each, tuple) else [each])]
    return [estimator, *(part for part in flat if hasattr(part, "get_params") or callable(part))]


def _parameters(part: object) -> set[str]:
    """Names of an estimator's parameters that are set (CatBoost's default is not to take categories)."""
    if not hasattr(part, "get_params") or isinstance(part, type):
        return set()
    return {name for name, value in part.get_params(deep=False).items() if value is not None and value is not False}


def _library(part: object) -> str:
    return type(part).__module__.partition(".")[0]
