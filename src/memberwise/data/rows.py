"""A table's rows as numbers, and back: for models that take the table itself."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from memberwise.types.arrays import Array, Floats, Mask
from memberwise.types.foreign import ColumnType, TableColumn

# Integers up to here are exact in float64.
LARGEST_EXACT = 2**53


@dataclass(frozen=True, eq=False)
class TableRows:
    """How a table's rows are written as float64 numbers, so that they travel, are chunked and hashed like any records.

    Numbers and truth values stand for themselves (missing: NaN); of every other column (texts, categories, dates,
    larger integers) the code of a value is its place among the column's values. Nothing is fitted or lost:
    ``frame(numbers(frame))`` is the frame again, column types included.

    Attributes:
        names: of the columns.
        kinds: their types.
        values: of a coded column the values by code, else None.
        single: models take the only column by itself, as a series.
    """

    names: tuple[str, ...]
    kinds: tuple[ColumnType, ...]
    values: tuple[TableColumn | None, ...]
    single: bool = False

    @classmethod
    def of(cls, frame: pd.DataFrame, single: bool = False) -> TableRows:
        """For the rows of ``frame``: it must hold every value that will be asked about."""
        values = tuple(None if _is_plain(column) else column[_first_of_each(column)] for _, column in frame.items())
        return cls(tuple(map(str, frame.columns)), tuple(frame.dtypes), values, single)

    def numbers(self, frame: pd.DataFrame) -> Floats:
        """``(n, columns)`` float64: the rows of a frame of these columns and values."""
        x = np.empty((len(frame), len(self.names)))
        for j, (name, values) in enumerate(zip(self.names, self.values, strict=True)):
            if values is None:
                x[:, j] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            else:
                place = {key: code for code, key in enumerate(map(_key, values))}
                x[:, j] = [place[_key(value)] for value in frame[name]]
        return x

    def frame(self, x: Array) -> pd.DataFrame:
        """The rows that these numbers are; a number between two codes, or two integers, is the nearer one.

        Args:
            x: ``(n, features)``.
        """
        columns = zip(self.names, self.kinds, self.values, x.reshape(len(x), len(self.names)).T, strict=True)
        return pd.DataFrame({name: _column(kind, values, numbers) for name, kind, values, numbers in columns})


def _is_plain(column: TableColumn) -> bool:
    kind = column.dtype
    if isinstance(kind, pd.SparseDtype) or not (pd.api.types.is_numeric_dtype(kind) or _is_bool(kind)):
        return False
    if pd.api.types.is_complex_dtype(kind):
        return False
    return not pd.api.types.is_integer_dtype(kind) or bool((column.dropna().abs() <= LARGEST_EXACT).all())


def _is_bool(kind: ColumnType) -> bool:
    return bool(pd.api.types.is_bool_dtype(kind)) and not isinstance(kind, pd.CategoricalDtype)


def _first_of_each(column: TableColumn) -> Mask:
    """``(n,)``: the row is the first with its value."""
    seen: set[Hashable] = set()
    first = np.zeros(len(column), bool)
    for row, value in enumerate(column):
        key = _key(value)
        first[row] = key not in seen
        seen.add(key)
    return first


def _key(value: object) -> Hashable:
    """What tells a column's values apart: None from NaN, 1 from True, and what cannot be hashed by its looks."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return (type(value), "missing")
    try:
        hash(value)
    except TypeError:
        return (type(value), repr(value))
    return (type(value), value)


def _column(kind: ColumnType, values: TableColumn | None, numbers: Array) -> TableColumn:
    if values is None:
        plain = numbers.astype(np.float64)
        if not pd.api.types.is_float_dtype(kind):
            plain = np.rint(plain)
        column: TableColumn = pd.Series(plain).astype(kind)
        return column
    codes = np.clip(np.rint(np.nan_to_num(numbers)), 0, len(values) - 1).astype(np.intp)
    taken: TableColumn = values.iloc[codes].reset_index(drop=True)
    return taken
