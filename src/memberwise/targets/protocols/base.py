"""What a protocol does: records become a request, and a reply becomes named outputs."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from memberwise.errors import TargetError
from memberwise.types.arrays import Array
from memberwise.types.json import Json

# Records as they are sent: an array (n, *shape), or rows of a table.
Sent = Array | pd.DataFrame
# Outputs of a model by name, each with a first axis of records.
Outputs = dict[str, Array]
# A document of the server by method and address; None where it has none.
Fetch = Callable[[str, str], Json]


@dataclass(frozen=True)
class Request:
    """One request: POST ``body`` (JSON) to ``address``."""

    address: str
    body: bytes


@dataclass(frozen=True)
class Signature:
    """Names and form of a served model's tensors, as the study has them; the server's metadata fill the gaps.

    Attributes:
        shape: of one record, where it differs from the data's. version, classes: as the server states them.
    """

    model: str | None = None
    input: str | None = None
    output: str | None = None
    datatype: str | None = None
    shape: tuple[int, ...] = ()
    version: str | None = None
    classes: tuple[str, ...] = ()


class UnknownForm(ValueError):
    """A reply that is not as the protocol has it, in words."""


@dataclass(frozen=True)
class Codec(ABC):
    """A protocol for one served model.

    Attributes:
        address: as the study has it. signature: names and form.
    """

    address: str
    signature: Signature
    name: ClassVar[str]

    @property
    def model(self) -> str | None:
        """The model's name, where it is known."""
        return self.signature.model

    @abstractmethod
    def request(self, records: Sent) -> Request:
        """The question about these ``(n, ...)`` records."""

    @abstractmethod
    def outputs(self, document: Json, count: int) -> Outputs:
        """What a reply, read as JSON, says of ``count`` records.

        Raises:
            UnknownForm: it is no reply of this protocol, or about another number of records.
        """

    def described(self, fetch: Fetch) -> Self:
        """The same with what the server's metadata tell."""
        return self


def to_json(document: Mapping[str, object]) -> bytes:
    """A document as the body of a request."""
    return json.dumps(document, separators=(",", ":")).encode()


def shaped(x: Array, shape: Sequence[int]) -> Array:
    """``(n, ...)`` records in the shape that the server takes; colours first become colours last where it wants that.

    Raises:
        TargetError: a record has another number of values.
    """
    shape_here = x.shape[1:]
    if not shape or tuple(shape) == shape_here:
        return x
    if math.prod(shape) != math.prod(shape_here):
        raise TargetError(
            "the served model takes records of another size",
            expected=f"{tuple(shape)}, as the server or target.shape says",
            found=f"the data's records are {tuple(shape_here)}",
            where="target.shape",
            fix="give the records as the model takes them",
        )
    if len(shape_here) == 3 and tuple(shape) == (*shape_here[1:], shape_here[0]):
        x = np.moveaxis(x, 1, -1)
    return np.ascontiguousarray(x).reshape(len(x), *shape)


def listed(x: Array) -> list[Json]:
    """An array ``(n, ...)`` as nested lists; a missing number is null."""
    gaps = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    if not gaps.any():
        return list(x.tolist())
    values = x.astype(object)
    values[gaps] = None
    return list(values.tolist())


def plain(value: object) -> bool | int | float | str | None:
    """A table's value as JSON has it: a missing one is null, a date its ISO text."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def rows_of(frame: pd.DataFrame) -> list[list[Json]]:
    """The rows of a table as lists of plain values."""
    columns = [[plain(value) for value in frame[name]] for name in frame]
    return [list(row) for row in zip(*columns, strict=True)]


def array(values: object, what: str) -> Array:
    """Values of a reply as an array ``(n, ...)``: numbers as float64 or int64, else texts; null is NaN.

    Raises:
        UnknownForm: they are no array, such as lists of different lengths.
    """
    try:
        made = np.asarray(values)
        if made.dtype.kind == "O":
            texts = any(isinstance(value, str) for value in np.ravel(made))
            made = np.asarray(values, str if texts else np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise UnknownForm(f"{what} is no array ({str(error)[:80]})") from None
    if made.dtype.kind == "b":
        made = made.astype(np.int64)
    if made.dtype.kind not in "iufU":
        raise UnknownForm(f"{what} holds neither numbers nor texts")
    return made


def _objects(values: Sequence[object]) -> Sequence[Mapping[object, object]]:
    """The values where all are objects; else none."""
    rows = [row for row in values if isinstance(row, Mapping)]
    return rows if len(rows) == len(values) else []


def by_record(values: object, count: int, what: str) -> Outputs:
    """Predictions a record, as v1 and MLflow give them: values, lists, or tables of named values.

    Raises:
        UnknownForm: they are not one a record.
    """
    if isinstance(values, Mapping):  # columns by name
        outputs = {str(name): array(column, f"{what}.{name}") for name, column in values.items()}
    elif not isinstance(values, list):
        raise UnknownForm(f"no list {what}")
    elif rows := _objects(values):
        try:
            outputs = {str(name): array([row[name] for row in rows], f"{what}.{name}") for name in rows[0]}
        except KeyError as error:
            raise UnknownForm(f"{what}: a record without {error}") from None
    else:
        outputs = {what: array(values, what)}
    if not outputs:
        raise UnknownForm(f"{what} is empty")
    for name, output in outputs.items():
        if output.ndim == 0 or len(output) != count:
            raise UnknownForm(f"{name} is of shape {output.shape} for {count} records")
    return outputs
