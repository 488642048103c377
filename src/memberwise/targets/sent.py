"""Records as a served model takes them: as features, as shades, or as the rows of the data's own table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from memberwise.data.columns import Encoding, as_texts
from memberwise.data.dataset import Dataset
from memberwise.data.rows import TableRows
from memberwise.targets.protocols.base import Sent, rows_of
from memberwise.types.arrays import Array, Floats32, Ints, Records
from memberwise.types.foreign import TableColumn


@dataclass(frozen=True, eq=False)
class Form:
    """From records as models here are asked about them, to what is sent.

    Attributes:
        raw: the table's own columns, or shades 0 to 255, instead of features.
        rows: what the records are where they are rows of the table already.
    """

    dataset: Dataset
    raw: bool = False
    rows: TableRows | None = None

    def of(self, x: Records) -> Sent:
        """``(n, ...)`` records as they are sent; the data's own exactly, others as near as the form has them."""
        if self.rows is not None:
            return self.rows.frame(x)
        if not self.raw:
            return x
        if self.dataset.encoding is not None:
            return self._table(np.asarray(x, np.float32))
        if self.dataset.x.dtype == np.uint8:
            return np.rint(np.asarray(x, np.float64) * 255).clip(0, 255).astype(np.uint8)
        return x

    def _table(self, x: Floats32) -> pd.DataFrame:
        encoding, frame = self._encoding, self._frame
        whole = [column.name for column in encoding.parts if column.whole]
        decoded = encoding.decode(x)
        places = np.array([self._place.get(row.tobytes(), -1) for row in np.ascontiguousarray(x)], np.intp)
        rows_here = np.flatnonzero(places >= 0)
        columns: dict[str, TableColumn] = {}
        for name in encoding.columns:
            values = np.empty(len(x), object)
            values[:] = decoded[name].tolist()
            if name in whole:
                values[:] = [int(value) for value in values]
            elif name in self._levels:
                values[:] = [self._levels[name].get(value, value) for value in values]
            taken = frame[name].iloc[places[rows_here]]
            values[rows_here] = np.fromiter(iter(taken), object, len(rows_here))
            columns[name] = pd.Series(values, dtype=object)
        return pd.DataFrame(columns)

    @property
    def _encoding(self) -> Encoding:
        assert self.dataset.encoding is not None
        return self.dataset.encoding

    @cached_property
    def _frame(self) -> pd.DataFrame:
        assert self.dataset.frame is not None
        return self.dataset.frame.rename(columns=str)

    @cached_property
    def _place(self) -> dict[bytes, int]:
        """The first row of the data with these features."""
        place: dict[bytes, int] = {}
        for row, features in enumerate(np.ascontiguousarray(self.dataset.x[: len(self._frame)])):
            place.setdefault(features.tobytes(), row)
        return place

    @cached_property
    def _levels(self) -> dict[str, dict[str | None, object]]:
        """Of each column of categories, the value that a level's text stands for."""
        levels = {}
        for name in (column.name for column in self._encoding.parts if column.kind == "category"):
            first = self._frame[name].drop_duplicates()
            levels[name] = dict(zip(as_texts(first), first, strict=True))
        return levels


def take(sent: Sent, rows: Ints) -> Sent:
    """The records at ``(k,)`` positions."""
    return sent.iloc[rows] if isinstance(sent, pd.DataFrame) else sent[rows]


def digests_of(sent: Sent, identity: bytes) -> list[bytes]:
    """A digest of each of ``(n, ...)`` records as it is sent.

    Args:
        identity: of whom it is asked: another model, another digest.
    """
    if isinstance(sent, pd.DataFrame):
        head = json.dumps([str(name) for name in sent]).encode()
        contents: Sequence[bytes] = [json.dumps(row).encode() for row in rows_of(sent)]
    else:
        values: Array = np.ascontiguousarray(sent, sent.dtype.newbyteorder("<"))
        head = f"{values.dtype.str} {values.shape[1:]}".encode()
        contents = [row.tobytes() for row in values]
    start = hashlib.blake2b(identity + b"\0" + head + b"\0", digest_size=16)
    digests = []
    for content in contents:
        digest = start.copy()
        digest.update(content)
        digests.append(digest.digest())
    return digests
