"""What the store keeps of answers, and how much is read of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, TypeVar

import numpy as np
import sqlalchemy as sa

from memberwise.gateway.tables import Row, records
from memberwise.types.arrays import Array

# Values that one IN (...) holds: SQLite takes 32,766, PostgreSQL 65,535.
CHUNK = 10_000


Value = TypeVar("Value")
Statement: TypeAlias = sa.Select[tuple[object, ...]]


def pack(answer: Array) -> bytes:
    """An answer as bytes: a vector ``(classes,)`` of float64, or a label ``()``.

    Raises:
        ValueError: it is what several models said, which is nobody's answer.
    """
    if answer.ndim > 1:
        raise ValueError(f"an answer of shape {answer.shape}")
    if answer.ndim == 0:
        return b"l" + int(answer).to_bytes(8, "little", signed=True)
    return b"v" + np.ascontiguousarray(answer, "<f8").tobytes()


def unpack(blob: bytes) -> Array:
    """What ``pack`` made bytes of: ``(classes,)`` or ``()``."""
    if blob[:1] == b"l":
        return np.array(int.from_bytes(blob[1:], "little", signed=True), np.int64)
    return np.frombuffer(blob, "<f8", offset=1).astype(np.float64)


def stored_answers(connection: sa.Connection, keys: Iterable[bytes]) -> dict[bytes, Array | None]:
    """By record that was paid for by anybody: its answer, or None."""
    rows = select_rows(connection, sa.select(records), records.c.record, keys)
    return {bytes(row.record): None if row.answer is None else unpack(bytes(row.answer)) for row in rows}


def select_rows(
    connection: sa.Connection,
    statement: Statement,
    column: sa.Column[Value],
    values: Iterable[Value],
) -> list[Row]:
    """The rows whose column is one of many values."""
    many = list(values)
    return [
        row
        for first in range(0, len(many), CHUNK)
        for row in connection.execute(statement.where(column.in_(many[first : first + CHUNK])))
    ]
