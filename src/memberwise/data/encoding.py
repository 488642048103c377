"""Encode a table's columns once, on the rows the attacker may know, never per model."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from numbers import Number

import numpy as np
import pandas as pd

from memberwise.data.columns import Column, Encoding, as_texts, finite
from memberwise.data.dataset import Dataset
from memberwise.data.features import LARGEST, too_large
from memberwise.data.treatment import Dropped, OneHot, Treatment
from memberwise.errors import DataError, leave_out
from memberwise.types.arrays import Ints
from memberwise.types.foreign import TableColumn

# More distinct texts than this in one column are names or free text, not categories.
MOST_CATEGORIES = 1000
# Texts of which more than this share occur once are names or free text, too, from so many records on.
MOST_DIFFERENT, FEW = 0.9, 50
# 1,234 or 1,234.5 or 1,5: numbers written with commas, which are texts.
WITH_COMMA = re.compile(r"\s*[+-]?(\d{1,3}(,\d{3})+(\.\d+)?|\d+,\d+)\s*")


def encode(dataset: Dataset, fit_rows: Ints, missing: bool = False) -> Dataset:
    """The data set with ``x`` ``(n, features)`` float32, ``feature_names`` and ``encoding`` filled in.

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
    frame, where = dataset.frame, dataset.source
    numbers, flags, categories = _column_kinds(frame, where)
    columns = {name: _number(frame[name], fit_rows, where, missing) for name in numbers}
    columns |= {name: Column(name, "flag") for name in flags}
    columns |= {name: _category(frame[name], fit_rows) for name in categories}
    encoding = Encoding(tuple(columns[str(name)] for name in frame))
    return replace(
        dataset,
        x=encoding.encode(frame, where, missing),
        feature_names=encoding.features,
        encoding=encoding,
        treatment=_treatment(dataset, encoding, fit_rows),
    )


def _treatment(dataset: Dataset, encoding: Encoding, fit_rows: Ints) -> Treatment:
    """What was done to each column of the data set's frame."""
    frame = pd.DataFrame() if dataset.frame is None else dataset.frame
    one_hot = []
    for column in encoding.parts:
        if column.kind == "category":
            texts = as_texts(frame[column.name])
            unseen = sum(text not in column.levels for text in texts)
            one_hot.append(OneHot(column.name, len(column.levels), texts.count(None), unseen))
    return Treatment(
        "table",
        dataset.records,
        len(encoding.features),
        steps=dataset.steps,
        fitted_on=len(fit_rows),
        standardised=tuple(column.name for column in encoding.parts if column.kind == "number"),
        flags=tuple(column.name for column in encoding.parts if column.kind == "flag"),
        one_hot=tuple(one_hot),
        dropped=tuple(Dropped(column, reason) for column, reason in dataset.dropped),
    )


def _number(values: pd.Series, fit_rows: Ints, where: str, missing: bool) -> Column:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(finite(values, where, missing=missing)[fit_rows, None])
    whole = pd.api.types.is_integer_dtype(values.dtype)
    return Column(str(values.name), "number", float(scaler.mean_[0]), float(scaler.scale_[0]), whole)


def _category(values: pd.Series, fit_rows: Ints) -> Column:
    """Levels in alphabetical order, a missing one last."""
    seen = {*as_texts(values.iloc[fit_rows])}
    levels = sorted(text for text in seen if text is not None)
    return Column(str(values.name), "category", levels=(*levels, None) if None in seen else tuple(levels))


def _column_kinds(frame: pd.DataFrame, source: str) -> tuple[list[str], list[str], list[str]]:
    """Names of the columns of numbers, of booleans and of categories."""
    numbers, flags, categories = [], [], []
    for name, column in frame.items():
        _check_scalars(column, source)
        if pd.api.types.is_bool_dtype(column.dtype) and not column.hasnans:
            flags.append(str(name))
        elif _is_numbers(column):
            _check_range(column, source)
            numbers.append(str(name))
        elif pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_timedelta64_dtype(column.dtype):
            raise DataError(
                "a column holds dates",
                where=f"{source}, column {name}",
                fix=f"turn them into numbers, such as years before today, or leave it out: {leave_out(str(name))}",
            )
        elif _mostly_numbers(column):
            wrong = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
            raise DataError(
                "a column of numbers has texts among them",
                found=f"{len(wrong)} of them, the first {wrong.iloc[0]!r}",
                where=f"{source}, column {name}, row {wrong.index[0]}",
                fix="make them numbers, or all of them texts",
            )
        elif _with_commas(column):
            raise DataError(
                "a column of numbers is written with commas",
                found=repr(str(column.dropna().iloc[0])),
                where=f"{source}, column {name}, row {int(column.notna().to_numpy().argmax())}",
                fix="write 1234.5: a point for the fraction, and nothing between thousands",
            )
        elif len(column) >= FEW and MOST_DIFFERENT * len(column) < column.nunique() <= MOST_CATEGORIES:
            raise DataError(
                "a column of texts has another value in nearly every record, so it is no category",
                found=f"{column.nunique():,} different values for {len(column):,} records, such as "
                f"{str(column.dropna().iloc[0])!r}",
                where=f"{source}, column {name}",
                fix=_left_out_or_unit(str(name)),
            )
        elif column.nunique() > MOST_CATEGORIES:
            raise DataError(
                "a column of texts has too many different values to be categories",
                expected=f"at most {MOST_CATEGORIES:,}",
                found=f"{column.nunique():,}, such as {column.dropna().iloc[0]!r}",
                where=f"{source}, column {name}",
                fix=_left_out_or_unit(str(name)),
            )
        else:
            categories.append(str(name))
    return numbers, flags, categories


def _left_out_or_unit(name: str) -> str:
    return f"leave it out: {leave_out(name)} (data.drop); or --unit {shlex.quote(name)} if it says whose record it is"


def _check_scalars(column: TableColumn, source: str) -> None:
    """Raises:
    DataError: lists, arrays or complex numbers in a column.
    """
    values = column if column.dtype == object else ()
    inside = next((v for v in values if isinstance(v, (list, tuple, dict, set, np.ndarray, bytes, complex))), None)
    if column.dtype.kind == "c" or inside is not None:
        raise DataError(
            "a column holds what is neither number nor text",
            found=type(column.iloc[0] if inside is None else inside).__name__,
            where=f"{source}, column {column.name}",
            fix=f"make columns of single numbers of it, or leave it out: {leave_out(str(column.name))}",
        )


def _check_range(column: TableColumn, source: str) -> None:
    """Raises:
    DataError: with the place of the first finite number that float32 cannot hold.
    """
    values = (column.astype(float) if column.dtype == object else column).to_numpy(dtype=np.float64, na_value=np.nan)
    beyond = np.flatnonzero(np.isfinite(values) & (np.abs(values) > LARGEST))
    if len(beyond):
        raise too_large(values[beyond[0]], len(beyond), source, int(beyond[0]), column.name)


def _is_numbers(column: TableColumn) -> bool:
    """Numbers, Python objects such as Decimal among them; no booleans, no texts."""
    if column.dtype != object:
        return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    values = column.dropna()
    return len(values) > 0 and all(isinstance(v, Number) and not isinstance(v, (bool, np.bool_)) for v in values)


def _with_commas(column: TableColumn) -> bool:
    """Texts of which nearly all are numbers with commas, of many different values."""
    texts = column.dropna().astype(str)
    if column.nunique() <= 20 or not texts.str.contains(",", regex=False).any():
        return False
    plain = pd.to_numeric(texts, errors="coerce").notna()
    return bool((texts.map(lambda text: bool(WITH_COMMA.fullmatch(text))) | plain).mean() > 0.9)


def _mostly_numbers(column: pd.Series) -> bool:
    """Texts of which nine in ten are numbers, of many different values: a number column with a slip in it."""
    numbers = pd.to_numeric(column, errors="coerce")
    return bool(0.9 * column.notna().sum() < numbers.notna().sum() < column.notna().sum()) and column.nunique() > 20
