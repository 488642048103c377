"""Saved answers as the user has them, a file, a DataFrame or a dict, become arrays under the names they are read by."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from memberwise.data.chosen import flat_columns
from memberwise.data.features import array_of
from memberwise.data.files import read_file
from memberwise.data.tables import notes_of
from memberwise.errors import DataError, Note
from memberwise.types.arrays import Array, Arrays

# How a table names the columns of each kind of answer.
COLUMNS = {"logits": "logit", "probabilities": "p", "scores": "score"}
# What tables and arrays call the other parts, in any case; the first is the table's word, the second the array's.
PARTS = (("label", "labels"), ("member", "member"), ("index", "index"), ("answer", "answers"))
ALIASES = {"label": "labels", "labels": "labels", "member": "member", "members": "member", "answer": "answers"}
ALIASES |= {"answers": "answers", "index": "index"}


class SavedArrays(Arrays):
    """Arrays by name, and what was noticed while they were read."""

    notes: tuple[Note, ...] = ()


def read_saved_file(path: str | Path, shadows: bool = False) -> SavedArrays:
    """The arrays of a file of saved answers; a table's columns ``logit_0 ...`` become one array ``logits``.

    Args:
        shadows: they are shadow models' answers, which no table holds.

    Raises:
        DataError: the file is not there, not readable or not what its name says.
    """
    content = read_file(path, labels=("label", "labels", "answer"))
    return _arrays(content, str(path), shadows)


def saved_object(answers: object, name: str) -> SavedArrays:
    """The arrays of saved answers that Python code hands over: a dict of arrays, or a DataFrame.

    Args:
        name: "outputs" or "shadow_outputs".

    Raises:
        DataError: neither of these, or a table without answers, labels or members.
    """
    if not isinstance(answers, (Mapping, pd.DataFrame)):
        raise DataError(
            f"{name} are no saved answers",
            expected="a file, a dict of arrays, such as dict(logits=z, labels=y, member=m)"
            + (", or a DataFrame" if name == "outputs" else ""),
            found=type(answers).__name__,
            where=name,
        )
    return _arrays(answers, name, name == "shadow_outputs")


def _arrays(content: Mapping[str, object] | pd.DataFrame, where: str, shadows: bool) -> SavedArrays:
    if isinstance(content, pd.DataFrame):
        if shadows:
            raise DataError(
                "shadow models' answers do not fit into a table",
                expected="arrays (models, records, classes) and trained_on (models, records)",
                found=f"a table with columns {', '.join(map(str, content.columns[:6]))}",
                where=where,
                fix="a .npz, or a dict of arrays",
            )
        read = SavedArrays(_table_arrays(content, where))
        read.notes = notes_of(content)
        return read
    arrays = {str(name): array_of(values, str(name), where) for name, values in content.items()}
    return SavedArrays({_array_name(name, arrays): values for name, values in arrays.items()})


def _array_name(name: str, arrays: Mapping[str, object]) -> str:
    """The name by which an array is read: label and Labels mean labels, where there is no array of that name."""
    meant = ALIASES.get(name.strip().lower(), name)
    same = [other for other in arrays if ALIASES.get(other.strip().lower(), other) == meant]
    return meant if meant not in arrays and len(same) == 1 else name


def _table_arrays(frame: pd.DataFrame, where: str) -> Arrays:
    """Columns as arrays.

    Raises:
        DataError: a gap in the columns of answers, answers that are no numbers, or no answers, labels or members.
    """
    if "index" in frame.index.names and "index" not in frame:
        frame = frame.reset_index("index")
    frame = flat_columns(frame)
    arrays: Arrays = {}
    for kind, stem in COLUMNS.items():
        columns = [f"{stem}_{i}" for i in range(sum(bool(re.fullmatch(rf"{stem}_\d+", c)) for c in frame.columns))]
        missing = [c for c in columns if c not in frame]
        if missing:
            raise DataError(f"the columns {stem}_0, {stem}_1 ... have a gap", found=f"no {missing[0]}", where=where)
        if columns:
            arrays[kind] = _numbers(frame[columns], where)
    for column, name in PARTS:
        if (here := _column(frame, column, name)) is not None:
            arrays[name] = _values(frame, here, where)
    if not set(arrays) & {*COLUMNS, "answers"}:
        raise DataError(
            "no answers",
            expected="columns logit_0, logit_1 ... (or p_0 ..., score_0 ..., or answer) beside label and member",
            found=", ".join(frame.columns),
            where=where,
            fix="are its columns separated by commas, semicolons or tabs?" if len(frame.columns) == 1 else None,
        )
    for column, name in PARTS[:2]:
        if name not in arrays:
            close = difflib.get_close_matches(column, frame.columns, n=1)
            raise DataError(
                f"there is no column {column}",
                expected=f"a column {column}: " + ("the true class" if column == "label" else "1 for members, else 0"),
                found=", ".join(frame.columns),
                where=where,
                fix=f"rename the column {close[0]!r} to {column}" if close else None,
            )
    return arrays


def _column(frame: pd.DataFrame, column: str, name: str) -> str | None:
    """The column of this name, else the only one that means it; an index goes by its very name."""
    if column in frame or column == "index":
        return column if column in frame else None
    meant = [c for c in frame.columns if ALIASES.get(c.strip().lower()) == name]
    return meant[0] if len(meant) == 1 else None


def _values(frame: pd.DataFrame, column: str, where: str) -> Array:
    if list(frame.columns).count(column) > 1:
        raise DataError("two columns have the same name", found=column, where=where)
    return np.asarray(frame[column].to_numpy())


def _numbers(frame: pd.DataFrame, where: str) -> Array:
    try:
        return frame.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise DataError("answers are not numbers", found=str(error), where=where) from None
