"""Encode a table's columns once, on the rows the attacker may know, never per model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.data.dataset import Dataset
from memberwise.errors import DataError

# More distinct texts than this in one column are names or free text, not categories.
MOST_CATEGORIES = 1000


def encode(dataset: Dataset, fit_rows: NDArray[np.int64], missing: bool = False) -> Dataset:
    """The data set with ``x`` ``(n, columns)`` float32 and ``feature_names`` filled in from its ``frame``.

    Numbers are standardised by mean and standard deviation, texts become one 0/1 column a category (missing is a
    category of its own; a category which ``fit_rows`` do not show is all zeros), booleans 0/1. A data set without a
    frame comes back as it is.

    Args:
        dataset: as ``assign_roles`` returns it.
        fit_rows: the rows from which means, deviations and categories are taken (``Roles.fit_rows``).
        missing: missing numbers stay NaN.

    Raises:
        DataError: a number is missing or infinite, a column holds neither numbers, texts nor booleans, or too many
            different texts.
    """
    if dataset.frame is None:
        return dataset
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = dataset.frame
    numbers, flags, categories = _column_kinds(frame, dataset.source)
    frame = frame.assign(
        **{name: _finite(frame[name], dataset.source, missing) for name in numbers},
        **{name: frame[name].astype(object).map(str, na_action="ignore") for name in categories},
    )
    one_hot = OneHotEncoder(
        handle_unknown="ignore",
        sparse_output=False,
        dtype=np.float32,
        feature_name_combiner=lambda column, category: f"{column}={category}",
    )
    transform = ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("flags", "passthrough", flags), ("categories", one_hot, categories)],
        verbose_feature_names_out=False,
        sparse_threshold=0,
    )
    transform.fit(frame.iloc[fit_rows])
    x = np.asarray(transform.transform(frame), dtype=np.float32)
    return replace(dataset, x=x, feature_names=tuple(str(name) for name in transform.get_feature_names_out()))


def _column_kinds(frame: pd.DataFrame, source: str) -> tuple[list[str], list[str], list[str]]:
    """Names of the columns of numbers, of booleans and of categories."""
    numbers, flags, categories = [], [], []
    for name, column in frame.items():
        if pd.api.types.is_bool_dtype(column.dtype) and not column.hasnans:
            flags.append(str(name))
        elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
            numbers.append(str(name))
        elif pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
            raise DataError(
                "a column holds dates",
                where=f"{source}, column {name}",
                fix="turn them into numbers, such as years before today, or leave the column out",
            )
        elif _mostly_numbers(column):
            wrong = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
            raise DataError(
                "a column of numbers has texts among them",
                found=f"{len(wrong)} of them, the first {wrong.iloc[0]!r}",
                where=f"{source}, column {name}, row {wrong.index[0]}",
                fix="make them numbers, or all of them texts",
            )
        elif column.nunique() > MOST_CATEGORIES:
            raise DataError(
                "a column of texts has too many different values to be categories",
                expected=f"at most {MOST_CATEGORIES:,}",
                found=f"{column.nunique():,}, such as {column.dropna().iloc[0]!r}",
                where=f"{source}, column {name}",
                fix="leave the column out; name it with --unit if it says whose record it is",
            )
        else:
            categories.append(str(name))
    return numbers, flags, categories


def _mostly_numbers(column: pd.Series) -> bool:
    """Texts of which nine in ten are numbers, of many different values: a number column with a slip in it."""
    numbers = pd.to_numeric(column, errors="coerce")
    return bool(0.9 * column.notna().sum() < numbers.notna().sum() < column.notna().sum()) and column.nunique() > 20


def _finite(column: pd.Series, source: str, missing: bool) -> NDArray[np.float64]:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(np.isinf(values) if missing else ~np.isfinite(values))
    if len(bad):
        raise DataError(
            "a column of numbers has missing or infinite values",
            found=f"{len(bad)} of them, the first {values[bad[0]]}",
            where=f"{source}, column {column.name}, row {bad[0]}",
            fix="fill the gaps in, remove those records or that column, or take a model that takes NaN "
            "(HistGradientBoostingClassifier, a pipeline with an imputer)",
        )
    return values
