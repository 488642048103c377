"""A table becomes a ``Dataset``: its columns are features, labels, groups, and whose record each row is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from memberwise.data.chosen import flat_columns
from memberwise.data.dataset import Dataset
from memberwise.data.features import dense_columns
from memberwise.data.groups import crossed, group_columns
from memberwise.data.label_sets import label_set_notes, read_label_sets
from memberwise.data.labels import number_labels, own_labels, texts
from memberwise.data.tables import notes_of
from memberwise.errors import DataError, did_you_mean
from memberwise.types.arrays import Array


def from_frame(
    frame: pd.DataFrame,
    source: str,
    label: str | Sequence[str] | None,
    group: str | None,
    unit: str | None,
    split: str | None,
    classes: Sequence[str] | None,
) -> Dataset:
    """The table as a ``Dataset`` whose columns are not encoded yet: ``x`` is ``(n, 0)``.

    Args:
        source: how the user named it. label, group, unit: columns (label: several for binary labels together; None:
            ``label``). split: a column that says "train" or "test". classes: names, where they are fixed already.

    Raises:
        DataError: a column is not there or stands twice, or nothing is left to learn from.
    """
    notes = notes_of(frame)
    frame = flat_columns(frame)
    if not frame.columns.is_unique:
        twice = ", ".join(sorted(set(frame.columns[frame.columns.duplicated()])))
        raise DataError("two columns have the same name", found=twice, where=source)
    frame = dense_columns(frame, source)
    group, unit = (None if c is None else str(c) for c in (group, unit))
    labels = _label_columns(label, list(frame.columns))
    by = [] if group is None else group_columns(group, list(frame.columns))
    for column, flag in (*((name, "label") for name in labels), *((name, "group") for name in by), (unit, "unit")):
        if column is not None and column not in frame:
            raise DataError(
                f"there is no {flag} column {column!r}",
                expected="one of " + ", ".join(frame.columns),
                where=source,
                fix=_one_column(frame) or did_you_mean(column, frame.columns) or f"name it with --{flag} COLUMN",
            )
    test = None
    if split is not None:
        frame = frame.sort_values(split, key=lambda part: part == "test", kind="stable")
        test = np.flatnonzero(frame[split] == "test")
    frame = frame.reset_index(drop=True)
    sets = None
    if len(labels) > 1:
        y, sets = read_label_sets(frame[labels].to_numpy(), labels, f"{source}, columns {', '.join(labels)}")
        names, notes = sets.classes, (*notes, *label_set_notes(sets, y))
    else:
        y, names = number_labels(frame[labels[0]].to_numpy(), classes, where=f"{source}, column {labels[0]}")
    groups = None if group is None else crossed(frame, by)
    # An identifier is no feature: it would name the record. The group stays one, as the model's owner has it.
    features = frame.drop(columns=[*labels, *(c for c in (unit, split) if c is not None)])
    if not len(features.columns) or not len(frame):
        raise DataError("no records or no feature columns are left", found=f"{features.shape}", where=source)
    return Dataset(
        x=np.zeros((len(frame), 0), dtype=np.float32),
        y=y,
        classes=names,
        source=source,
        test=test,
        groups=groups,
        units=None if unit is None else as_units(frame[unit], f"{source}, column {unit}"),
        frame=features,
        label=",".join(labels),
        group=group,
        unit=unit,
        notes=notes,
        label_values=None if sets is not None else own_labels(frame[labels[0]].to_numpy(), y, names),
        label_sets=sets,
    )


def _label_columns(label: str | Sequence[str] | None, columns: Sequence[str]) -> list[str]:
    """The column of the class, or the columns of several binary labels, written with commas."""
    if not isinstance(label, str) and label:
        return [str(name) for name in label]
    name = str(label or "label")
    several = [part.strip() for part in name.split(",") if part.strip()]
    return [name] if name in columns or len(several) < 2 else several


def _one_column(frame: pd.DataFrame) -> str | None:
    """What to look at where the whole table is one column."""
    return "are its columns separated by commas, semicolons or tabs?" if len(frame.columns) == 1 else None


def as_units(values: object, where: str) -> Array:
    """Whose record each is, as ``(n,)`` texts; none may be missing."""
    missing = np.flatnonzero(pd.isna(np.asarray(values)))
    if len(missing):
        raise DataError("it is not said whose record this is", found=f"an empty unit in row {missing[0]}", where=where)
    return texts(values)
