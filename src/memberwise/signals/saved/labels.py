"""Labels and answered labels of saved answers: whole numbers or texts become class numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from memberwise.errors import DataError, Note
from memberwise.types.arrays import Array, Ints, Mask

# A whole number as it is usually written; "007" is a name.
COLUMN_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
# Whole floats beyond this are not exact.
LARGEST_WHOLE = 2.0**53


def class_numbers(
    values: Array, names: Array | None, count: int | None, where: str, name: str = "labels"
) -> tuple[Ints, tuple[str, ...]]:
    """Labels as column numbers, and the classes' names.

    Whole numbers are column numbers, written as texts ("0", "1", ..., "10") too, unless ``names`` names the columns;
    other texts are sorted and mapped.

    Args:
        values: ``(n,)`` labels. names: of the classes, in the order of the columns. count: of the columns, if known.

    Raises:
        DataError: not one label a record, a label missing, neither whole number nor text, none of the columns.
    """
    values = numbers_or_texts(values, name, where)
    if values.ndim != 1 or not len(values):
        raise DataError(
            f"{name} have the wrong shape", expected="(records,)", found=str(values.shape), where=f"{where}, {name}"
        )
    listed = None if names is None else tuple(str(n) for n in numbers_or_texts(names, "classes", where).reshape(-1))
    if listed is not None and len(set(listed)) != (len(listed) if count is None else count):
        raise DataError(
            "classes do not name every column once",
            expected=f"{len(listed) if count is None else count} different names",
            found=f"{len(listed)}, of which {len(set(listed))} are different",
            where=f"{where}, classes",
        )
    if listed is not None:
        count = len(listed)
    elif values.dtype.kind == "U" and all(COLUMN_NUMBER.fullmatch(text) for text in np.unique(values)):
        values = values.astype(np.int64)
    if values.dtype.kind == "i":
        count = int(values.max()) + 1 if count is None else count
        return _columns(values, count, f"{where}, {name}"), listed or tuple(map(str, range(count)))
    known = tuple(np.unique(values).tolist()) if listed is None else listed
    if count is not None and len(known) != count:
        raise DataError(
            "the labels do not tell which column is which class",
            expected=f"{count} different labels, as there are {count} columns",
            found=f"{len(known)} different labels: {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}",
            where=f"{where}, {name}",
            fix=f"write labels as column numbers, 0 to {count - 1}; or add, in a .npz or a dict, an array classes: all "
            "names in the columns' order",
        )
    numbers = _places(values, known)
    if (numbers < 0).any():
        unknown = str(values[numbers < 0][0])
        raise DataError("a label is not among the classes", found=repr(unknown), where=f"{where}, {name}")
    return numbers, known


def answered_numbers(values: Array, classes: tuple[str, ...], where: str) -> Ints:
    """Answered labels ``(m, n, q)`` as class numbers; -1 where the answer is none of the classes (and so is wrong).

    Raises:
        DataError: an answer is missing, or neither whole number nor text.
    """
    values = numbers_or_texts(values, "answers", where)
    if values.dtype.kind == "U":
        return _places(values, classes)
    return np.where((values >= 0) & (values < len(classes)), values, -1)


def unknown_answers(numbers: Ints, where: str) -> tuple[Note, ...]:
    """A warning where models answered what is none of the classes.

    Args:
        numbers: ``(m, n)`` class numbers, negative where the answer is no class. where: names the file and array.
    """
    unknown = int((numbers < 0).sum())
    if not unknown:
        return ()
    return (
        Note(
            "unknown-answers",
            f"{unknown:,} of {numbers.size:,} answers of {where} are none of the classes of its labels and count as "
            "wrong: right where such a class has no record here, else the answers are written in another way than "
            "the labels",
        ),
    )


def numbers_or_texts(values: Array, name: str, where: str, fix: str = "leave those records out") -> Array:
    """Values of any kind as int64 or texts, in their shape ``(n,)`` or ``(m, n, ...)``.

    Raises:
        DataError: a value is missing (NaN, None, an empty text), or neither whole number nor text.
    """
    values = plain(values)
    if values.dtype.kind in "OU":
        missing = np.asarray(pd.isna(values)) | (np.char.strip(values.astype(str)) == "")
    else:
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if missing.any():
        raise DataError(
            f"{name} are missing",
            found=f"{int(missing.sum())} of {missing.size}, the first of record {_first(missing)}",
            where=f"{where}, {name}",
            fix=fix,
        )
    if values.dtype.kind == "f":
        broken = ~((values == np.floor(values)) & (np.abs(values) <= LARGEST_WHOLE))
        if broken.any():
            raise DataError(
                f"{name} are not whole numbers",
                expected="row numbers" if name == "index" else "class numbers or texts",
                found=f"{values[broken][0]} for record {_first(broken)}",
                where=f"{where}, {name}",
            )
    if values.dtype.kind in "fiub":
        return values.astype(np.int64)
    if values.dtype.kind not in "OU":
        raise DataError(f"{name} are neither integers nor strings", found=str(values.dtype), where=f"{where}, {name}")
    return values.astype(str)


def plain(values: object) -> Array:
    """Python objects as numbers where all of them are; else the array as it is, its bytes decoded to texts.

    Args:
        values: a sequence or an array, ``(n,)`` say; the result has its shape.
    """
    array: Array = np.asarray(values)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "T":  # NumPy's texts of any length, in which a text may be missing
        array = array.astype(object)
    if array.dtype.kind == "O" and all(isinstance(v, (int, float, np.number, np.bool_)) for v in array.flat):
        array = array.astype(np.float64)
    return array


def _columns(numbers: Array, count: int, where: str) -> Ints:
    if numbers.min() < 0 or numbers.max() >= count:
        from_one = numbers.min() == 1 and numbers.max() == count
        remedy = "they seem to be counted from 1: subtract 1" if from_one else f"number the columns 0 to {count - 1}"
        raise DataError(
            "labels are no column numbers",
            expected=f"integers 0 to {count - 1}, as there are {count} classes",
            found=f"{numbers.min()} to {numbers.max()}",
            where=where,
            fix=f"{remedy}; where the labels are names, add, in a .npz or a dict, an array classes: the names in the "
            "columns' order",
        )
    return numbers.astype(np.int64)


def _places(texts: Array, known: tuple[str, ...]) -> Ints:
    """The position of each text among the known ones, -1 where it is none of them."""
    places = pd.Index(known).get_indexer(pd.Index(texts.reshape(-1)))
    return places.astype(np.int64).reshape(texts.shape)


def _first(bad: Mask) -> int:
    """The record of the first bad value of ``(n,)`` or ``(m, n, ...)``."""
    return int(np.nonzero(bad)[min(bad.ndim, 2) - 1][0])
