"""Records in the form that a model takes: numbers encoded here, the table's own rows, or its columns' own values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memberwise.data import Dataset
from memberwise.data.rows import TableRows
from memberwise.types.arrays import Array

How = Literal["numbers", "rows", "texts", "values"]


@dataclass(frozen=True, eq=False)
class Representation:
    """Records as a model is given them.

    Attributes:
        how: "numbers": float32 as the data have them, of a table encoded here; "rows": rows of the table; "texts": its
            only column; "values": the numbers of the table's columns, not encoded.
        x: ``(n, ...)`` what travels: float32 or uint8 records, or float64 numbers of table rows.
        rows: back from these to table rows.
    """

    how: How
    x: Array
    rows: TableRows | None = None

    @classmethod
    def of(cls, dataset: Dataset, how: How, columns: Sequence[str] = ()) -> Representation:
        """``columns``: those of the table that are given, in this order; empty: all."""
        if how == "numbers" or dataset.frame is None:
            return cls("numbers", dataset.x)
        frame = dataset.frame[list(columns)] if columns else dataset.frame
        rows = TableRows.of(frame, single=how == "texts")
        return cls(how, rows.numbers(frame), None if how == "values" else rows)

    @property
    def as_stored(self) -> bool:
        """The numbers are asked about as they are, in float64."""
        return self.how != "numbers"
