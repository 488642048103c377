"""Labels of any kind become class numbers and class names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from memberwise.errors import DataError
from memberwise.types.arrays import Array, Ints


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """The classes as the data's own labels have them: what estimators are fitted on, and what they answer.

    Attributes:
        names: of the classes, by class number.
        values: ``(k,)`` the label that stands for each class in the data, of the data's own kind: -1 and 1, 1.0 and
            2.0, False and True, texts.
    """

    names: tuple[str, ...]
    values: Array

    @classmethod
    def of(cls, names: Sequence[str], values: Array | None = None) -> ClassLabels:
        """Where the data's own labels are not known, they are what the names say: integers or texts.

        Args:
            values: ``(classes,)``, the data's own labels.
        """
        if values is None:
            whole = all(name.removeprefix("-").isdecimal() for name in names)
            values = np.array([int(name) for name in names]) if whole else np.array(names)
        return cls(tuple(names), values)

    @classmethod
    def numbered(cls, count: int) -> ClassLabels:
        """The class numbers themselves: 0 to ``count`` - 1."""
        return cls(tuple(map(str, range(count))), np.arange(count))

    def __len__(self) -> int:
        return len(self.names)

    def numbers_of(self, labels: object) -> NDArray[np.intp]:
        """``(n,)`` class numbers of labels of any kind; -1 for a label that is no class.

        A label is compared by its value (1, 1.0 and True are one label, "1" another). Where that leaves a label over,
        all are compared by what they read as instead, so that "1" is 1 and "True" is True.
        """
        labels = np.asarray(labels).reshape(-1)
        exact = self._matched(labels, _value)
        if (exact >= 0).all():
            return exact
        read = self._matched(labels, _reading)
        return read if (read >= 0).all() else exact

    def _matched(self, labels: Array, key: Callable[[object], Hashable]) -> NDArray[np.intp]:
        known = {key(value): number for number, value in enumerate(self.values)}
        if len(known) < len(self.values):
            return np.full(len(labels), -1)
        numbers = {label: known.get(key(label), -1) for label in set(labels.tolist())}
        return np.array([numbers[label] for label in labels.tolist()], np.intp)


def _value(label: object) -> Hashable:
    """Numbers and truth values as Python's own, of which 1, 1.0 and True are equal; all else as a text."""
    plain = label.item() if isinstance(label, np.generic) else label
    return plain if isinstance(plain, (bool, int, float)) else str(texts([plain])[0])


def _reading(label: object) -> Hashable:
    """What a label reads as: a number where it can be one."""
    value = _value(label)
    if not isinstance(value, str):
        return value
    truth = {"true": 1.0, "false": 0.0}.get(value.strip().lower())
    if truth is not None:
        return truth
    try:
        return float(value)
    except ValueError:
        return value


def own_labels(values: object, numbers: Ints, names: Sequence[str]) -> Array | None:
    """``(k,)``: the label that stands for each class in ``values``, of their own kind; None: what the names say."""
    array = np.asarray(values)
    shown, first = np.unique(numbers, return_index=True)
    if len(shown) < len(names):
        by_number = array.dtype.kind in "iuf" and np.array_equal(array, numbers)
        return np.arange(len(names)).astype(array.dtype) if by_number else None
    labels = array[first]
    if labels.dtype.kind == "O" and not all(isinstance(value, str) for value in labels):
        labels = np.array(labels.tolist())  # objects that are all integers, or all truth values, are an array of those
    return labels if labels.dtype.kind in "biufUO" and labels.ndim == 1 else None


def number_labels(values: object, classes: Sequence[str] | None = None, *, where: str) -> tuple[Ints, tuple[str, ...]]:
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


def texts(values: object) -> Array:
    """Values of any kind as a NumPy array of texts, ``(n,)`` say; bytes are decoded."""
    array = np.asarray(values)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in array], dtype=str)


def _integers_or_texts(values: object, where: str) -> Array:
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


def _some(names: Iterable[object], at_most: int = 8) -> str:
    """The first few names, for a message."""
    shown = [str(name) for name in names]
    return ", ".join(shown[:at_most]) + (f" and {len(shown) - at_most} more" if len(shown) > at_most else "")
