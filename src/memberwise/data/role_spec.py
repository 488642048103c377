"""``RoleSpec``: what the user says about each role, and reading it: counts, row numbers, files of records."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memberwise.data.append import append
from memberwise.data.checks import check_finite
from memberwise.data.dataset import Dataset
from memberwise.data.files import PICKLED, READERS, read_array, read_dataset
from memberwise.errors import DataError, StudyError
from memberwise.types.arrays import Array, Ints, Rows

Want = int | str | Path | Sequence[int] | Array | None


@dataclass(frozen=True)
class RoleSpec:
    """For each role a count, a file, row numbers (or a mask over all rows), or None for the default.

    A .txt or .npy file holds row numbers of the data; a .npz, .csv or .parquet file holds further records.
    ``train_rows`` says on which rows a target that is trained already was trained: all of them.
    """

    members: Want = None
    nonmembers: Want = None
    background: Want = None
    population: Want = None
    reference: Want = None
    validation: Want = None
    auxiliary: Want = None
    train_rows: Want = None


def resolve(dataset: Dataset, want: Want, role: str, records: int) -> tuple[Dataset, int | Rows | None]:
    """A count, ascending row numbers or None, and the data set, larger where the want is a file of records.

    Args:
        dataset: the data and what earlier wants have added.
        want: as in ``RoleSpec``.
        role: whose want it is, for messages.
        records: rows of the data themselves, which alone can be named by number.

    Raises:
        StudyError: a negative count, or neither a count nor a file nor rows.
        DataError: row numbers that are not there or are given twice, or a file that does not fit the data.

    Returns:
        The data set and a count, ``(n,)`` row numbers or None.
    """
    if isinstance(want, str) and re.fullmatch(r"-?[0-9]{1,18}", want):
        want = int(want)
    if isinstance(want, (bool, float)):
        raise StudyError(f"{role} is neither a count nor a file", found=repr(want), where=f"data.{role}")
    if want is None or isinstance(want, (int, np.integer)):
        if want is not None and want < 0:
            raise StudyError(f"{role} cannot be fewer than none", found=str(want), where=f"data.{role}")
        return dataset, None if want is None else int(want)
    if not isinstance(want, (str, os.PathLike)):
        return dataset, _checked(np.asarray(want), records, role, f"data.{role}")
    path = Path(want)
    suffix = path.suffix.lower()
    if suffix != ".txt" and suffix in (*READERS, *PICKLED):
        more = read_dataset(path, dataset.label, dataset.group, dataset.unit, classes=dataset.outputs)
        check_finite(more.x, more, missing=True)
        return append(dataset, more), np.arange(dataset.records, dataset.records + more.records)
    if suffix not in (".txt", ".npy"):
        raise StudyError(
            f"{role} is neither a count nor a file of rows or records",
            expected="a number; .txt or .npy (row numbers); .npz, .csv or .parquet (records)",
            found=str(want),
            where=f"data.{role}",
        )
    if not path.is_file():
        raise DataError("there is no such file", where=f"{path} (data.{role})")
    rows = read_array(path) if suffix == ".npy" else _read_lines(path)
    return dataset, _checked(rows, records, role, str(path))


def _read_lines(path: Path) -> Ints:
    try:
        return np.array(path.read_text(encoding="utf-8-sig").split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{path.name} is not a list of row numbers",
            expected="one integer a line",
            found=str(error),
            where=str(path),
        ) from error
    except OSError as error:
        raise DataError("the file cannot be read", found=str(error), where=str(path)) from error


def _checked(rows: Array, records: int, role: str, where: str) -> Rows:
    if rows.dtype == np.bool_ and rows.shape == (records,):
        return np.flatnonzero(rows)
    if rows.dtype.kind == "f" and rows.size and (rows == np.floor(rows)).all() and np.abs(rows).max() < 2**53:
        rows = rows.astype(np.int64)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise DataError(
            f"{role} are not row numbers",
            expected=f"integers of shape (k,), or a mask of shape ({records},)",
            found=f"{rows.dtype} of shape {rows.shape}",
            where=where,
        )
    rows = rows.astype(np.int64)
    outside = rows[(rows < 0) | (rows >= records)]
    if len(outside):
        raise DataError(
            f"{role} name rows that do not exist",
            expected=f"0 to {records - 1}",
            found=f"{len(outside)} others, such as {outside[0]}",
            where=where,
        )
    distinct, times = np.unique(rows, return_counts=True)
    if len(distinct) < len(rows):
        raise DataError(f"{role} name rows twice", found=first_few(distinct[times > 1]), where=where)
    return distinct


def first_few(rows: Sequence[int] | Ints, at_most: int = 10) -> str:
    """The first few of ``(n,)`` row numbers and how many there are, for a message."""
    shown = ", ".join(str(row) for row in rows[:at_most])
    return shown + (f", ... ({len(rows)} in all)" if len(rows) > at_most else "")
