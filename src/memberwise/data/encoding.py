"""Encode a table's columns once, on the rows the attacker may know, never per model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.data.columns import Column, Encoding, as_texts, finite
from memberwise.data.dataset import Dataset
from memberwise.errors import DataError

# More distinct texts than this in one column are names or free text, not categories.
MOST_CATEGORIES = 1000


def encode(dataset: Dataset, fit_rows: NDArray[np.int64]) -> Dataset:
    """The data set with ``x`` ``(n, features)`` float32, ``feature_names`` and ``encoding`` filled in.

    Numbers are standardised by mean and standard deviation, texts become one 0/1 column a category (missing is a
    category of its own; a category which ``fit_rows`` do not show is all zeros), booleans 0/1. A data set without a
    frame comes back as it is.

    Args:
        dataset: as ``assign_roles`` returns it.
        fit_rows: the rows from which means, deviations and categories are taken (``Roles.fit_rows``).

    Raises:
        DataError: a number is missing or infinite, a column holds neither numbers, texts nor booleans, or too many
            different texts.
    """
    if dataset.frame is None:
        return dataset
    frame, where = dataset.frame, dataset.source
    numbers, flags, categories = _column_kinds(frame, where)
    columns = {name: _number(frame[name], fit_rows, where) for name in numbers}
    columns |= {name: Column(name, "flag") for name in flags}
    columns |= {name: _category(frame[name], fit_rows) for name in categories}
    encoding = Encoding(tuple(columns[str(name)] for name in frame))
    return replace(dataset, x=encoding.encode(frame, where), feature_names=encoding.features, encoding=encoding)


def _number(values: pd.Series, fit_rows: NDArray[np.int64], where: str) -> Column:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(finite(values, where)[fit_rows, None])
    whole = pd.api.types.is_integer_dtype(values.dtype)
    return Column(str(values.name), "number", float(scaler.mean_[0]), float(scaler.scale_[0]), whole)


def _category(values: pd.Series, fit_rows: NDArray[np.int64]) -> Column:
    """Levels in alphabetical order, a missing one last."""
    seen = {*as_texts(values.iloc[fit_rows])}
    levels = sorted(text for text in seen if text is not None)
    return Column(str(values.name), "category", levels=(*levels, None) if None in seen else tuple(levels))


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
