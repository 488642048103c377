"""What protocols share: a request's records as strict numbers, and an answer on its way out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import numpy as np

from memberwise.gateway.policy import ProtocolName, Tier
from memberwise.gateway.problems import Problem
from memberwise.gateway.tiers import labels_of
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array
from memberwise.types.json import Json, are_numbers, is_number

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Rows:
    """Rows of a table: ``data`` has one list a row, in the order of ``columns``."""

    columns: tuple[str, ...]
    data: Sequence[Sequence[Json]]

    def __len__(self) -> int:
        return len(self.data)


@dataclass(frozen=True)
class Query:
    """A request, understood.

    Attributes:
        records: numbers ``(n, ...)``, or rows of a table.
        id: the client's name for the request, given back.
        outputs: names of the outputs it asks for; empty: whatever there is.
        binary: outputs that are to come as bytes (v2); "*" is all of them.
    """

    records: Array | Rows
    id: str | None = None
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Outcome:
    """What is told of ``n`` answers.

    Attributes:
        answers: ``(n, classes)`` float64, or labels ``(n,)`` int64.
        tier: how much of them it is. kind: of the vector.
        classes: names of the classes. may_abstain: an answer that says the same of every class has no label.
    """

    answers: Array
    tier: Tier
    kind: Kind
    classes: tuple[str, ...]
    may_abstain: bool = False

    @property
    def labels(self) -> Array:
        """``(n,)`` int64: the numbers of the largest classes; -1 for none."""
        return labels_of(self.answers, may_abstain=self.may_abstain)

    @property
    def name(self) -> str:
        """What the answers are: "probabilities", "scores" or "label"."""
        if self.answers.ndim == 1:
            return "label"
        return "scores" if self.kind == "scores" else "probabilities"


@dataclass(frozen=True)
class Reply:
    """A body and its headers."""

    body: bytes
    headers: Mapping[str, str]


class ServedProtocol(Protocol):
    """One protocol's way from bytes to records and from answers to bytes."""

    name: ProtocolName

    def parse(self, body: bytes, headers: Mapping[str, str], limits: Limits) -> Query:
        """The records of a request.

        Raises:
            Problem: it is no request of this protocol, or larger than allowed.
        """
        ...

    def reply(self, outcome: Outcome, query: Query, model: str) -> Reply:
        """The answers as this protocol has them."""
        ...


@dataclass(frozen=True)
class Limits:
    """Of one request: levels of nesting, records, and numbers a record (None: it is a table's row)."""

    depth: int
    records: int
    shape: tuple[int, ...]


def json_body(headers: Mapping[str, str]) -> None:
    """Refuse a body that is not plain JSON.

    Raises:
        Problem: its type is another one, or it is compressed.
    """
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/octet-stream"):
        raise Problem("unsupported-media-type", "Send application/json.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("unsupported-media-type", "Compressed bodies are not read.")


def numbers(values: Json, limits: Limits) -> Array:
    """Nested lists of JSON numbers ``(n, ...)``: int64 where all are whole and fit, else float64.

    Raises:
        Problem: they hold anything else (true and null too), are not a block, or are too many.
    """
    level: list[Json] = [values]
    shape: list[int] = []
    while level and isinstance(level[0], list):
        lists = [value for value in level if isinstance(value, list)]
        if len(lists) < len(level):
            raise Problem("invalid-records", "Numbers and lists are mixed.")
        sizes = set(map(len, lists))
        if len(sizes) > 1:
            raise Problem("invalid-records", "The lists are of different lengths.")
        shape.append(sizes.pop())
        check_count(shape[:1], limits)
        level = list(chain.from_iterable(lists))
    if len(shape) < 2:
        raise Problem("invalid-records", "Records are a list, with a list of numbers for each record.")
    if not level:
        raise Problem("invalid-records", "A record has numbers.")
    return plain_numbers(level).reshape(shape)


def plain_numbers(level: list[Json]) -> Array:
    """A flat list of JSON numbers ``(n,)`` as int64 where all are whole and fit, else float64.

    Raises:
        Problem: there is anything else among them, or a number beyond float32.
    """
    if not are_numbers(level):
        raise Problem("invalid-records", "Records are numbers; texts, true, false and null are not.")
    # Python compares whole numbers of any length with others exactly.
    if level and not (min(level) >= -LARGEST and max(level) <= LARGEST):
        raise Problem("invalid-records", "A number is not finite, or too large.")
    if set(map(type, level)) == {int}:
        with contextlib.suppress(OverflowError):
            return np.array(level, np.int64)
    return np.array(level, np.float64)


def checked(array: Array) -> Array:
    """The same numbers ``(n, ...)``.

    Raises:
        Problem: NaN, infinity, or beyond float32.
    """
    if array.dtype.kind == "f" and array.size and not (array.max() <= LARGEST and array.min() >= -LARGEST):
        raise Problem("invalid-records", "A number is not finite, or too large.")
    return array


def check_count(shape: Sequence[int], limits: Limits) -> None:
    """Refuse more records than allowed, or none.

    Raises:
        Problem: as said.
    """
    if not shape:
        return
    if shape[0] > limits.records:
        raise Problem("invalid-records", f"A request has at most {limits.records} records.")
    if shape[0] == 0:
        raise Problem("invalid-records", "There are no records.")


def table(columns: Json, data: Json, limits: Limits) -> Rows:
    """Rows ``(n, columns)`` of a table, checked for their form; what a column holds is seen where it is encoded.

    Columns that pandas has numbered are called by their numbers.

    Raises:
        Problem: columns are no distinct names, or rows of another length, or hold lists or huge numbers.
    """
    if not isinstance(columns, list) or not columns or not {*map(type, columns)} <= {str, int}:
        raise Problem("invalid-records", "Columns are a list of names.")
    names = tuple(str(name) for name in columns)
    if len(set(names)) != len(names):
        raise Problem("invalid-records", "A column stands twice.")
    rows = [row for row in data if isinstance(row, list) and len(row) == len(names)] if isinstance(data, list) else []
    if not isinstance(data, list) or len(rows) < len(data):
        raise Problem("invalid-records", "Every row is a list, with a value for each column.")
    check_count([len(rows)], limits)
    for value in chain.from_iterable(rows):
        if isinstance(value, (list, dict)):
            raise Problem("invalid-records", "A value of a row is a number, a text, true, false or null.")
        if is_number(value) and not -LARGEST <= value <= LARGEST:
            raise Problem("invalid-records", "A number is not finite, or too large.")
    return Rows(names, rows)


def as_table(records: list[Json], limits: Limits) -> Rows:
    """Rows ``(n, columns)`` from a list of objects that all have the same keys.

    Raises:
        Problem: they differ in their keys, or are no objects.
    """
    check_count([len(records)], limits)
    rows = [row for row in records if isinstance(row, dict)]
    if len(rows) < len(records):
        raise Problem("invalid-records", "Every record is an object from columns to values.")
    columns: list[Json] = [*rows[0]]
    if any(row.keys() != rows[0].keys() for row in rows):
        raise Problem("invalid-records", "All records have the same columns.")
    return table(columns, [[row[name] for name in rows[0]] for row in rows], limits)


def only(values: Mapping[str, object], allowed: set[str]) -> None:
    """Refuse keys that mean nothing here.

    Raises:
        Problem: there are some.
    """
    if not values.keys() <= allowed:
        raise Problem("invalid-request", f"The request has other keys than {', '.join(sorted(allowed))}.")
