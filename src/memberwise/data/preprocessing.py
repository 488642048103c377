"""From raw records to what a model was asked: plain values that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from memberwise.data.columns import Encoding
from memberwise.data.dataset import Dataset
from memberwise.data.layout import Input, Layout
from memberwise.errors import DataError, RunFolderError
from memberwise.types.arrays import Array, Floats32
from memberwise.types.parts import Plain

FORMAT = 1
WHERE = "records"


@dataclass(frozen=True)
class Preprocessing:
    """What was done to records before a model saw them.

    Attributes:
        shape: of one record as the model takes it.
        shades: records are whole numbers 0..255, which were divided by 255.
        encoding: of a table's columns; None where the data were arrays.
        left_out: columns of the data that are no features (label, unit).
        layout: how records of several inputs, or of whole numbers, lie in an array; None where they are plain numbers.
    """

    shape: tuple[int, ...]
    shades: bool
    encoding: Encoding | None = None
    left_out: tuple[str, ...] = ()
    layout: Layout | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """That of an encoded data set."""
        left_out = () if dataset.frame is None else (dataset.label, dataset.unit)
        return cls(
            dataset.shape,
            dataset.x.dtype == np.uint8,
            dataset.encoding,
            tuple(name for name in left_out if name is not None and name.isprintable()),
            dataset.layout,
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        facts: dict[str, object] = {
            "format": FORMAT,
            "records": "array" if self.encoding is None else "table",
            "shape": list(self.shape),
            "divided_by": 255 if self.shades else 1,
            "left_out": list(self.left_out),
        }
        if self.encoding is not None:
            facts |= {"columns": self.encoding.to_list(), "features": list(self.encoding.features)}
        if self.layout is not None:
            facts["inputs"] = [[one.name, list(one.shape), one.dtype] for one in self.layout.inputs]
        return facts

    @classmethod
    def of_dict(cls, facts: Plain, where: str) -> Self:
        """What ``to_dict`` gave.

        Raises:
            RunFolderError: it is of another format, or harmed.
        """
        try:
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']}")
            encoding = Encoding.of_list(facts["columns"]) if facts["records"] == "table" else None
            shape, shades = tuple(int(size) for size in facts["shape"]), facts["divided_by"] == 255
            inputs = tuple(Input(name, tuple(size), dtype) for name, size, dtype in facts.get("inputs", ()))
            return cls(shape, shades, encoding, tuple(facts["left_out"]), Layout(inputs) if inputs else None)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunFolderError(
                "what was done to records before the model saw them cannot be read",
                expected=f"format {FORMAT}",
                found=f"{type(error).__name__}: {error}",
                where=where,
                fix="take the folder again from the run, or load it by the version of memberwise that wrote it",
            ) from error

    def records(self, data: object, encoded: bool = False) -> Floats32:
        """Float32 records ``(n, *shape)``, as the model was asked about the data's.

        Args:
            data: raw records as the data were: a DataFrame, whose columns are taken by name, an array, or a mapping of
                several inputs.
            encoded: an array as this method gives it; nothing more is done to it.

        Raises:
            DataError: a column is missing or holds something else; another shape; values that are no numbers.
        """
        if self.layout is not None and self.layout.several and not encoded:
            if not isinstance(data, Mapping):
                raise DataError("records have several inputs", expected=self.layout.words(), where=WHERE)
            return self.layout.packed({one.name: data.get(one.name, ()) for one in self.layout.inputs}, WHERE)
        if isinstance(data, pd.DataFrame) and not encoded:
            if self.encoding is None:
                raise DataError(
                    "a table is no record of this model",
                    expected=f"an array of shape (records, {', '.join(map(str, self.shape))})",
                    where=WHERE,
                    fix="give the features as an array, in the order that the model was trained on",
                )
            return self.encoding.encode(data, WHERE)
        if self.encoding is not None and not encoded:
            raise DataError(
                "an array does not say which column is which",
                expected="a DataFrame with the columns " + ", ".join(self.encoding.columns),
                found=type(data).__name__,
                where=WHERE,
                fix="give a DataFrame; of features that are encoded already say encoded=True",
            )
        return self._array(data, encoded)

    def _array(self, data: object, encoded: bool) -> Floats32:
        array = np.asarray(data)
        if array.dtype.kind not in "biuf":
            raise DataError("records are not numbers", found=str(array.dtype), where=WHERE)
        last = (*self.shape[1:], *self.shape[:1])
        if len(self.shape) == 3 and array.shape[1:] == last != self.shape:
            array = np.moveaxis(array, -1, 1)
        if array.shape[1:] != self.shape or array.ndim == 0:
            raise DataError(
                "records have another shape",
                expected=f"(records, {', '.join(map(str, self.shape))})",
                found=str(array.shape),
                where=WHERE,
                fix="put a single record into a batch of one: x[None]" if array.shape == self.shape else None,
            )
        if not np.isfinite(array).all():
            raise DataError("records hold NaN or infinity", where=WHERE)
        if self.shades and not encoded:
            return self._scaled(array)
        if array.dtype == np.uint8 and not encoded and len(self.shape) > 1 and array.max(initial=0) > 1:
            raise DataError(
                "bytes 0..255 are no records of this model, which was trained on other numbers",
                found=f"{array.dtype} up to {array.max()}",
                where=WHERE,
                fix="scale them as the data were, and give floats",
            )
        return array.astype(np.float32)

    def _scaled(self, array: Array) -> Floats32:
        whole = array.dtype.kind in "iu" and array.min(initial=0) >= 0 and array.max(initial=0) <= 255
        if not whole:
            raise DataError(
                "these are no shades",
                expected="integers 0..255, as the data were",
                found=f"{array.dtype} from {array.min(initial=0)} to {array.max(initial=0)}",
                where=WHERE,
                fix="give integers; of shades that are divided by 255 already say encoded=True",
            )
        return array.astype(np.float32) / np.float32(255.0)
