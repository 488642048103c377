"""Which columns of a table are features: what the user chooses, row numbers, and columns that tell too much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from memberwise.data.dataset import Dataset
from memberwise.errors import DataError, Note, StudyError, did_you_mean, leave_out
from memberwise.types.arrays import Array, Ints
from memberwise.types.foreign import TableColumn

# How a column without a name is called once it is read (pandas, readr, parquet); nobody calls a feature so.
NAMELESS = re.compile(r"|nan|none|unnamed: \d+.*|\.\.\.\d+|__index_level_\d+__|level_\d+", re.IGNORECASE)
# What columns are called that number the rows.
ROW_NUMBERS = re.compile(
    r"index|x|row([ _.]?(id|nr|no|num|number|names?|index))?|record([ _.]?(nr|no|num|number))?", re.I
)
# What columns are called that say whose record it is.
IDENTIFIER = re.compile(r"(^|.*[ _.-])(id|ids|uid|uuid|guid|mrn|ssn|nhs|key)$|.*[a-z](Id|ID)$|.*(uuid|guid).*")
# Fewer records say little: every column of a small table may hold different values.
FEW = 30
# A column that goes with the label, or with membership, is believed to from so many records of each kind.
FEWEST_OF_A_KIND = 10


def flat_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with texts as column names; names of several levels are joined with a full stop."""
    if isinstance(frame.columns, pd.MultiIndex):
        frame = frame.set_axis([_joined(name) for name in frame.columns], axis=1)
    frame = frame.rename(columns=lambda name: str(name).strip())
    return frame.rename_axis(columns=None)


def _joined(levels: Sequence[Any]) -> str:
    parts = [str(level).strip() for level in levels if not pd.isna(level)]
    return ".".join(part for part in parts if part and not re.fullmatch(r"Unnamed: \d+_level_\d+", part))


def choose_columns(dataset: Dataset, features: Sequence[str] = (), drop: Sequence[str] = ()) -> Dataset:
    """The data set with the chosen columns as features, and notes on those that look like no features.

    Args:
        dataset: as ``load`` gives it. features: names of the columns that alone are features; none: all.
        drop: names of columns that are not.

    Without ``features``, columns that number the rows are left out: nameless ones whose values all differ or count the
    rows, and those called ``index`` and the like which hold 0..n-1 or 1..n.

    Raises:
        StudyError: columns are chosen of records that have none. DataError: one is not there, or none is left.
    """
    if dataset.frame is None:
        if features or drop:
            raise StudyError(
                "these records have no columns to choose from",
                found=", ".join((*features, *drop)),
                where="data.features" if features else "data.drop",
                fix="leave it out: columns are chosen of tables (.csv, .parquet, DataFrame)",
            )
        return dataset
    frame, names = dataset.frame, [str(name) for name in dataset.frame]
    no_features = {name for name in (dataset.label, dataset.unit) if name is not None} | {"label"}
    _check_names(features, "features", names, dataset.source)
    _check_names([name for name in drop if name not in no_features], "drop", names, dataset.source)
    if features:
        kept = [name for name in dict.fromkeys(features) if name not in drop]
        dropped = [(name, "not among data.features") for name in names if name not in kept and name not in drop]
    else:
        numbering = row_numbers(frame)
        kept = [name for name in names if name not in numbering and name not in drop]
        dropped = [(name, reason) for name, reason in numbering.items() if name not in drop]
    dropped = [*((name, "data.drop") for name in drop if name in names), *dropped]
    if not kept:
        raise DataError(
            "no feature columns are left", found=", ".join(f"{n}: {why}" for n, why in dropped), where=dataset.source
        )
    frame = frame[kept]
    notes = [*dataset.notes, *_left_out([] if features else dropped), *_suspicious(frame, dataset.y)]
    return replace(dataset, frame=frame, notes=tuple(notes), dropped=(*dataset.dropped, *dropped))


def _check_names(names: Sequence[str], flag: str, columns: list[str], source: str) -> None:
    for name in names:
        if name in columns:
            continue
        raise DataError(
            f"there is no feature column {name!r}",
            expected="one of " + ", ".join(columns),
            where=f"{source}, data.{flag}",
            fix=did_you_mean(name, columns) or f"name columns by comma: --{flag} a,b",
        )


def row_numbers(frame: pd.DataFrame) -> dict[str, str]:
    """Columns that number the rows (or are nameless and empty), each with the reason why it is no feature."""
    reasons = {}
    for name, column in frame.items():
        text = str(name)
        if NAMELESS.fullmatch(text):
            if column.isna().all():
                reasons[text] = "no name and no values"
            elif _counts(column) or _all_differ(column):
                reasons[text] = "no name, and another value in every row: row numbers"
        elif ROW_NUMBERS.fullmatch(text) and _is_permutation(column):
            reasons[text] = f"numbers the rows from {int(column.min())} to {int(column.max())}"
    return reasons


def _left_out(dropped: Sequence[tuple[str, str]]) -> list[Note]:
    """A note for every column that was left out unasked."""
    return [
        Note(
            "row-number",
            f"the column {name!r} is no feature here: {reason}. It would tell every record apart; if it is one, name "
            "all columns that are with --features",
        )
        for name, reason in dropped
        if reason != "data.drop"
    ]


def _suspicious(frame: pd.DataFrame, y: Ints) -> list[Note]:
    """Warnings about columns that tell every record apart, that tell the class, or that tell nothing."""
    constant, notes = [], []
    for name, column in frame.items():
        values = _plain_values(column)
        different = int(values.nunique(dropna=True))
        if different <= 1 and not (values.isna().any() and different):
            constant.append(str(name))
        elif len(values) >= FEW and _is_identifier(str(name), values, different):
            notes.append(_identifier_note(str(name), values, different))
        elif _tells_class(values, different, y):
            notes.append(
                Note(
                    "label-column",
                    f"the column {name!r} tells the class: each of its {different} values goes with one class alone. "
                    f"If it was derived from the label, leave it out: {leave_out(str(name))}",
                )
            )
    if constant:
        named = ", ".join(constant[:8]) + (f" and {len(constant) - 8} more" if len(constant) > 8 else "")
        notes.append(Note("constant-column", f"columns with the same value in every record tell nothing: {named}"))
    return notes


def _plain_values(column: TableColumn) -> TableColumn:
    """The column with values that can be compared; lists and the like become texts."""
    try:
        column.nunique()
    except TypeError:
        return column.map(str, na_action="ignore")
    return column


def _is_identifier(name: str, values: TableColumn, different: int) -> bool:
    """Whole numbers or texts of which (nearly) every record has its own."""
    many = bool(IDENTIFIER.fullmatch(name)) and different > max(FEW / 2, len(values) / 4)
    return (different == len(values) or many) and (_is_whole(values) or _is_text(values))


def _identifier_note(name: str, values: TableColumn, different: int) -> Note:
    what = "numbers the records" if _is_permutation(values) else "tells records apart"
    return Note(
        "id-column",
        f"the column {name!r} {what}: {different:,} different values for {len(values):,} records. As a feature of the "
        f"models it makes records easier to recognise; if it is a number or name of records or people, leave it out "
        f"({leave_out(name)}), or name it with --unit if it says whose record it is",
    )


def _tells_class(values: TableColumn, different: int, y: Ints) -> bool:
    """Few values, each of which occurs with one class alone."""
    if not 2 <= different <= 50 or len(values) < FEWEST_OF_A_KIND * different or len(np.unique(y)) < 2:
        return False
    codes = np.asarray(pd.factorize(values)[0])
    if (codes < 0).any():
        return False
    # Most columns are told by their first records.
    return all(len(np.unique(codes[:k] * (y.max() + 1) + y[:k])) == len(np.unique(codes[:k])) for k in (1000, len(y)))


def membership_notes(x: Array, names: Sequence[str] | None, members: Ints, nonmembers: Ints) -> list[Note]:
    """A warning about columns whose value alone tells members from non-members: all of one side lie below the other.

    Args:
        x: ``(n, columns)`` encoded. names: of the columns, or None.
    """
    if x.ndim != 2 or min(len(members), len(nonmembers)) < FEWEST_OF_A_KIND:
        return []
    one, other = x[members], x[nonmembers]
    apart = np.flatnonzero((one.min(0) > other.max(0)) | (one.max(0) < other.min(0)))
    if not len(apart):
        return []
    shown = ", ".join(str(i) if names is None else names[i] for i in apart[:8])
    return [
        Note(
            "membership-column",
            f"columns in which all members lie on one side of all non-members: {shown}. They tell who is a member "
            "whatever the model does, so the figures are about them and not about the model: leave out what says when "
            "or in which part a record was taken (--drop), or draw non-members from the same source",
        )
    ]


def _is_whole(column: TableColumn) -> bool:
    """Numbers without fractions, perhaps with gaps; no booleans."""
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        return False
    values = column.dropna().to_numpy(dtype=np.float64)
    return bool(len(values) and np.isfinite(values).all() and (values == np.floor(values)).all())


def _is_text(column: TableColumn) -> bool:
    return not pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_datetime64_any_dtype(column.dtype)


def _all_differ(column: TableColumn) -> bool:
    return (_is_whole(column) or _is_text(column)) and bool(_plain_values(column).is_unique) and not column.hasnans


def _is_permutation(column: TableColumn) -> bool:
    """0..n-1 or 1..n, in any order."""
    if column.hasnans or not _is_whole(column):
        return False
    values = np.sort(column.to_numpy(dtype=np.float64))
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())


def _counts(column: TableColumn) -> bool:
    """Counts the rows from 0 or 1, and perhaps begins again: tables that were put one under another."""
    if len(column) < 2 or column.hasnans or not _is_whole(column):
        return False
    values = column.to_numpy(dtype=np.float64)
    steps, first = np.diff(values), values[0]
    return bool(first in (0, 1) and ((steps == 1) | (values[1:] == first)).all() and (steps == 1).mean() > 0.5)
