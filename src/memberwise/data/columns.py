"""How a table's columns become numbers, as plain values that travel with a model, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd

from memberwise.errors import DataError, did_you_mean, leave_out
from memberwise.types.arrays import Array, Floats, Floats32
from memberwise.types.foreign import TableColumn
from memberwise.types.parts import Plain


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        kind: "number": (value - mean) / scale; "flag": 0 or 1; "category": one 0/1 feature a level, in the order of
            ``levels``, of which None stands for a missing value. A level that is none of these is 0 in all of them.
        whole: the numbers are integers.
    """

    name: str
    kind: Literal["number", "flag", "category"]
    mean: float = 0.0
    scale: float = 1.0
    whole: bool = False
    levels: tuple[str | None, ...] = ()

    @property
    def features(self) -> list[str]:
        if self.kind != "category":
            return [self.name]
        return [f"{self.name}={'nan' if level is None else level}" for level in self.levels]

    def encode(self, values: TableColumn, where: str, missing: bool = False) -> Floats32:
        """``(n, features)``; with ``missing`` a missing number stays NaN.

        Raises:
            DataError: a number is missing, infinite or a text, or a flag is neither true nor false.
        """
        if self.kind == "category":
            return self._indicators(values)
        numbers = finite(values, where, self.kind, missing and self.kind == "number")
        if self.kind == "flag" and not np.isin(numbers, (0, 1)).all():
            row = int(np.flatnonzero(~np.isin(numbers, (0, 1)))[0])
            raise DataError(
                "a column of true and false holds other values",
                found=str(values.iloc[row]),
                where=f"{where}, column {self.name}, row {row}",
            )
        return ((numbers - self.mean) / self.scale).astype(np.float32)[:, None]

    def _indicators(self, values: TableColumn) -> Floats32:
        out = np.zeros((len(values), len(self.levels)), np.float32)
        place = {level: number for number, level in enumerate(self.levels)}
        texts = as_texts(values)
        for row, text in enumerate(texts):
            if text not in place and text is not None and text.endswith(".0"):
                text = text.removesuffix(".0")  # integers beside a gap are read as floats
            if text in place:
                out[row, place[text]] = 1
        return out

    def decode(self, features: Floats32) -> Array:
        """The column's values ``(n,)``; a level that was not known is None."""
        if self.kind == "category":
            top = features.argmax(1) if self.levels else np.zeros(len(features), int)
            known = features.max(1, initial=0) > 0.5
            return np.array([self.levels[t] if k else None for t, k in zip(top, known, strict=True)], object)
        numbers = features[:, 0].astype(np.float64) * self.scale + self.mean
        if self.kind == "flag":
            return numbers > 0.5
        return np.rint(numbers) if self.whole else numbers


@dataclass(frozen=True)
class Encoding:
    """The columns of a table, in its order. Features are those of numbers first, then flags, then categories."""

    parts: tuple[Column, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.parts)

    @property
    def features(self) -> tuple[str, ...]:
        """One name a feature."""
        return tuple(feature for column in self.in_order() for feature in column.features)

    def encode(self, frame: pd.DataFrame, where: str, missing: bool = False) -> Floats32:
        """``(n, features)`` of a table's rows; columns are taken by name, others left alone.

        Args:
            missing: missing numbers stay NaN.

        Raises:
            DataError: a column is missing, or holds what it did not when the encoding was made.
        """
        frame = frame.rename(columns=str)
        absent = [name for name in self.columns if name not in frame]
        if absent:
            raise DataError(
                "columns are missing" if len(absent) > 1 else "a column is missing",
                expected=", ".join(self.columns),
                found="no " + ", ".join(absent),
                where=where,
                fix=did_you_mean(absent[0], [str(name) for name in frame]),
            )
        if not frame.columns.is_unique:
            twice = ", ".join(sorted({str(name) for name in frame.columns[frame.columns.duplicated()]}))
            raise DataError("two columns have the same name", found=twice, where=where)
        parts = [column.encode(frame[column.name], where, missing) for column in self.in_order()]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(frame), 0), np.float32)

    def decode(self, x: Floats32) -> pd.DataFrame:
        """The table of which these are the features, as far as float32 tells: ``(n, features)`` to rows."""
        values, first = {}, 0
        for column in self.in_order():
            width = len(column.features)
            values[column.name] = column.decode(x[:, first : first + width])
            first += width
        # Of its own type: a missing level stays None.
        return pd.DataFrame({name: pd.Series(values[name], dtype=values[name].dtype) for name in self.columns})

    def to_list(self) -> list[dict[str, object]]:
        """Plain values, for JSON."""
        kept = {"number": ("mean", "scale", "whole"), "flag": (), "category": ("levels",)}
        return [
            {key: value for key, value in asdict(column).items() if key in ("name", "kind", *kept[column.kind])}
            for column in self.parts
        ]

    @classmethod
    def of_list(cls, values: Sequence[Plain]) -> Self:
        """What ``to_list`` gave."""
        return cls(tuple(Column(**{**one, "levels": tuple(one.get("levels", ()))}) for one in values))

    def in_order(self) -> list[Column]:
        """The columns as their features lie."""
        return [column for kind in ("number", "flag", "category") for column in self.parts if column.kind == kind]


def as_texts(values: TableColumn) -> list[str | None]:
    """Values of any kind as texts, None where they are missing."""
    return [None if missing else str(value) for value, missing in zip(values, values.isna(), strict=True)]


def finite(values: TableColumn, where: str, kind: str = "number", missing: bool = False) -> Floats:
    """A column's numbers as float64; with ``missing`` missing ones are NaN.

    Raises:
        DataError: one is missing, infinite or no number.

    Returns:
        ``(n,)``.
    """
    numbers = pd.to_numeric(values, errors="coerce") if values.dtype == object else values
    try:
        array = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        array = pd.to_numeric(values.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    gaps = values.isna().to_numpy() if missing else np.zeros(len(array), bool)
    bad = np.flatnonzero(~np.isfinite(array) & ~gaps)
    if len(bad):
        raw, what = values.iloc[int(bad[0])], "numbers" if kind == "number" else "true and false"
        text = isinstance(raw, str)
        raise DataError(
            f"a column of {what} has texts among them"
            if text
            else f"a column of {what} has missing or infinite values",
            found=f"{len(bad)} of them, the first {raw!r}" if text else f"{len(bad)} of them, the first {raw}",
            where=f"{where}, column {values.name}, row {bad[0]}",
            fix=f"fill the gaps in, remove those records or that column ({leave_out(str(values.name))}), or take a "
            "model that takes NaN (HistGradientBoostingClassifier, a pipeline with an imputer)",
        )
    return array
