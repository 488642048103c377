"""``Dataset``: records, labels and what is known about them, as arrays."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from memberwise.data.columns import Encoding
from memberwise.data.label_sets import LabelSets
from memberwise.data.labels import ClassLabels
from memberwise.data.layout import Layout
from memberwise.data.treatment import Dropped, Treatment
from memberwise.errors import Note
from memberwise.types.arrays import Array, Ints, Records
from memberwise.types.foreign import TableColumn


@dataclass(frozen=True, eq=False)
class Dataset:
    """All records of one source. ``index`` everywhere else is a row number of these arrays.

    Attributes:
        x: ``(n, ...)`` features. uint8 stands for 0..255 and is scaled to [0, 1] by whoever trains; float32 is used
            as it is. Images are ``(n, H, W)`` or channel-first ``(n, C, H, W)``. ``(n, 0)`` while ``frame`` waits
            for ``encode``.
        y: ``(n,)`` int64 class numbers, 0 <= y < len(classes).
        classes: names of the classes.
        source: as the user named it.
        test: int64 row numbers of the source's own test part (after all others), or None. Nobody trains on them
            unless the user says so.
        groups: ``(n,)`` subgroup names, or None.
        units: ``(n,)`` whose record it is (a person, say), or None; one unit's rows stay on one side.
        feature_names: one name per column of a table, or None.
        frame: a table's raw columns, kept because they are encoded only once the roles are known.
        encoding: how the columns of ``frame`` became ``x``, or None.
        label, group, unit: the columns or arrays which these came from, for files of further records.
        notes: what was noticed while they were read, as code and message. steps: what was done to them, in words.
        dropped: columns that are no features, each with the reason.
        treatment: what was done to the columns of a table, once it is encoded.
        label_values: ``(k,)`` the labels as the data have them (-1 and 1, texts, ...), by class number; None where
            they are what ``classes`` say.
        label_sets: where a record has several binary labels: the sets of them that ``y`` numbers; else None.
        layout: how records of several inputs, or of whole numbers, lie in ``x``; None where they are plain numbers.
    """

    x: Array
    y: Ints
    classes: tuple[str, ...]
    source: str
    test: Ints | None = None
    groups: Array | None = None
    units: Array | None = None
    feature_names: tuple[str, ...] | None = None
    frame: pd.DataFrame | None = None
    label: str | None = None
    group: str | None = None
    unit: str | None = None
    encoding: Encoding | None = None
    notes: tuple[Note, ...] = ()
    steps: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    treatment: Treatment | None = None
    label_values: Array | None = None
    layout: Layout | None = None
    label_sets: LabelSets | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a model answers a figure about each: the classes, or the labels where a record has several."""
        return self.classes if self.label_sets is None else self.label_sets.names

    @property
    def answers_wanted(self) -> Array:
        """``(n,)`` class numbers, or ``(n, L)`` uint8 labels where a record has several."""
        return self.y if self.label_sets is None else self.label_sets.of(self.y)

    @property
    def class_labels(self) -> ClassLabels:
        """The classes as the data's own labels have them."""
        return ClassLabels.of(self.classes, self.label_values)

    @property
    def records(self) -> int:
        return len(self.y)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record's features (of a table not yet encoded: ``(0,)``)."""
        return tuple(self.x.shape[1:])

    @property
    def kind(self) -> Literal["image", "table"]:
        return "image" if self.x.ndim > 2 else "table"

    @property
    def several(self) -> bool:
        """A record has several inputs, each with its name."""
        return self.layout is not None and self.layout.several

    @property
    def encoded(self) -> bool:
        """False for a table whose columns are still to be encoded."""
        return self.frame is None or self.x.shape[1] > 0

    def what_was_done(self, own_rows: bool = False) -> Treatment:
        """What was done to the records on their way to the models.

        Args:
            own_rows: the models take the rows of the table as they are.
        """
        if self.frame is not None and (own_rows or self.treatment is None):
            steps = (*self.steps, "the model takes the rows of the table as they are")
            dropped = tuple(Dropped(column, reason) for column, reason in self.dropped)
            return Treatment("table", self.records, len(self.frame.columns), steps=steps, dropped=dropped)
        if self.treatment is not None:
            return self.treatment
        kind: Literal["images", "arrays"] = "images" if self.kind == "image" else "arrays"
        if self.layout is not None and self.layout.several:
            return Treatment(kind, self.records, math.prod(self.shape), steps=(f"inputs: {self.layout.words()}",))
        scaled = ("bytes were scaled from 0..255 to [0, 1]",) if self.x.dtype == np.uint8 else ()
        return Treatment(kind, self.records, math.prod(self.shape), steps=(*self.steps, *scaled))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content (features before encoding, labels, groups, units), the same on every platform."""
        digest = hashlib.sha256()
        for name, values in self._content():
            digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
            digest.update(values.data)
        return digest.hexdigest()

    def _content(self) -> Iterator[tuple[str, Array]]:
        if self.frame is None:
            yield "x", _plain(self.x)
            if self.several:
                yield "inputs", _plain(np.array(repr(self.layout)).reshape(1))
        else:
            for column in self.frame:
                yield f"x[{column}]", _plain(self.frame[column])
        yield "y", _plain(self.y)
        if self.label_sets is not None:
            yield "labels", _plain(self.label_sets.of(self.y))
        for name, values in (("groups", self.groups), ("units", self.units)):
            if values is not None:
                yield name, _plain(values)


def _plain(values: Array | TableColumn) -> Array:
    """The values as contiguous little-endian numbers, texts as their UTF-8 bytes with a mark between them."""
    if isinstance(values, pd.Series) and pd.api.types.is_numeric_dtype(values.dtype):
        values = values.to_numpy(dtype=np.float64, na_value=np.nan)
    elif isinstance(values, pd.Series):
        values = values.astype(object).where(values.notna(), "\x01").to_numpy()
    if values.dtype.kind in "OUT":
        values = np.frombuffer("\0".join(map(str, values)).encode(), dtype=np.uint8)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))


def as_float(x: Array) -> Records:
    """float32 records ``(n, ...)``; uint8 is scaled to [0, 1]."""
    return x.astype(np.float32) / np.float32(255.0) if x.dtype == np.uint8 else x.astype(np.float32, copy=False)
