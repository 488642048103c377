"""The books of differential privacy: what each client, and all together, were granted at most, in rho."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from memberwise.gateway.kept import select_rows
from memberwise.gateway.tables import rhos

# In the place of a client's number: all clients together.
ALL = 0


def read_rhos(connection: sa.Connection, clients: Iterable[int | None]) -> dict[int | None, float]:
    """What was granted, by a client's number in the store; of those who were granted nothing, nothing."""
    numbers = [number for number in clients if number is not None]
    return {row.client: row.rho for row in select_rows(connection, sa.select(rhos), rhos.c.client, numbers)}


def write_rhos(
    connection: sa.Connection, before: Mapping[int | None, float], after: Mapping[int | None, float]
) -> None:
    """Write what has changed since ``before`` was read, in the same transaction."""
    changed = [(number, rho) for number, rho in after.items() if rho != before.get(number, 0.0)]
    rows = [{"client": number, "rho": rho} for number, rho in changed if number not in before]
    if rows:
        connection.execute(rhos.insert(), rows)
    rows = [{"key": number, "rho": rho} for number, rho in changed if number in before]
    if rows:
        connection.execute(rhos.update().where(rhos.c.client == sa.bindparam("key")), rows)
