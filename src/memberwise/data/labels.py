"""Labels of any kind become class numbers and class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.errors import DataError


def number_labels(
    values: Any, classes: Sequence[str] | None = None, *, where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers ``(n,)`` int64 and the classes' names.

    Args:
        values: ``(n,)`` integers (whole floats and booleans too) or texts.
        classes: names that are fixed already; integers are then numbers into it unless they are names themselves.
            None: the distinct values, sorted, are the classes, so that 1..30 become 0..29 named "1".."30".
        where: the file or array, for messages.

    Raises:
        DataError: not one label a record, a label missing, neither integer nor text, or none of ``classes``.
    """
    labels = _integers_or_texts(values, where)
    if classes is None:
        distinct, numbers = np.unique(labels, return_inverse=True)
        return numbers.astype(np.int64).reshape(-1), tuple(str(name) for name in distinct)
    names = tuple(str(name) for name in classes)
    known = pd.Index(names)
    if not known.is_unique:
        raise DataError("two classes have the same name", found=_some(known[known.duplicated()]), where=where)
    numbers = known.get_indexer(pd.Index(labels.astype(str)))
    if labels.dtype.kind == "i" and (numbers < 0).any():
        numbers = np.where((labels >= 0) & (labels < len(names)), labels, -1)
    if (numbers < 0).any():
        raise DataError(
            "labels are there which are none of the classes",
            expected=f"one of {_some(names)}",
            found=_some(np.unique(labels[numbers < 0])),
            where=where,
        )
    return numbers.astype(np.int64), names


def texts(values: Any) -> NDArray[Any]:
    """Values of any kind as a NumPy array of texts; bytes are decoded."""
    array = np.asarray(values)
    return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else np.array([str(v) for v in array], dtype=str)


def _integers_or_texts(values: Any, where: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError(
            "labels must be one per record",
            expected="shape (n,)",
            found=f"shape {array.shape}",
            where=where,
            fix="y.ravel() for a column, y.argmax(1) for one-hot labels" if array.ndim == 2 else None,
        )
    missing = np.flatnonzero(pd.isna(array))
    if len(missing):
        raise DataError(
            "labels are missing",
            found=f"{len(missing)} of {len(array)}, the first in row {missing[0]}",
            where=where,
            fix="remove those records",
        )
    if array.dtype.kind == "O" and all(isinstance(value, (int, np.integer)) for value in array):
        array = array.astype(np.int64)
    if array.dtype.kind == "f":
        broken = np.flatnonzero(array != np.floor(array))
        if len(broken) or not np.isfinite(array).all():
            row = broken[0] if len(broken) else np.flatnonzero(~np.isfinite(array))[0]
            raise DataError(
                "labels are not integers",
                expected="class numbers or texts",
                found=f"{array[row]} in row {row}",
                where=where,
                fix="name the column of classes with --label; memberwise audits classifiers, not regressions",
            )
    if array.dtype.kind in "biuf":
        return array.astype(np.int64)
    if array.dtype.kind in "OUST":
        return texts(array)
    raise DataError("labels are neither integers nor texts", found=str(array.dtype), where=where)


def _some(names: Any, at_most: int = 8) -> str:
    """The first few names, for a message."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:at_most]) + (f" and {len(shown) - at_most} more" if len(shown) > at_most else "")
