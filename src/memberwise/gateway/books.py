"""What one transaction of the bank does, on a connection: many requests are granted, answered or given back at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa

from memberwise.gateway.grants import Delivery, Grant, GrantRequest, record_key
from memberwise.gateway.kept import pack, select_rows, stored_answers, unpack
from memberwise.gateway.ledger import Notices, entry, write_ledger
from memberwise.gateway.page import Page
from memberwise.gateway.policy import Policy
from memberwise.gateway.store import StatementError
from memberwise.gateway.tables import cells, clients, counters, grants, records
from memberwise.types.arrays import Array

__all__ = ["Delivery", "Grant", "GrantRequest", "deliver_many", "grant_many", "refund_many"]


def grant_many(
    connection: sa.Connection,
    requests: Sequence[GrantRequest],
    policy: Policy,
    epoch: bytes,
    now: float,
    notices: Notices,
) -> list[Grant]:
    """Decide on requests one after the other, and write down what they took, all in the transaction at hand."""
    if not requests:
        return []
    keyed = [[record_key(epoch, digest) for digest in request.digests] for request in requests]
    page = Page(connection, requests, keyed)
    granted = [page.grant(*pair, policy, now, notices) for pair in zip(requests, keyed, strict=True)]
    page.write()
    return granted


def deliver_many(connection: sa.Connection, deliveries: Sequence[Delivery]) -> list[dict[bytes, Array]]:
    """Keep the answers to records that have none yet, and return by record what is kept.

    Raises:
        StatementError: a record was not paid for.
    """
    if not deliveries:
        return []
    keys = {one.grant.records[i] for one in deliveries for i in one.answers}
    kept = stored_answers(connection, keys)
    paid = select_rows(connection, sa.select(grants.c.record, clients.c.name).join(clients), grants.c.record, keys)
    payers = {(bytes(row.record), row.name) for row in paid}
    fresh: dict[bytes, bytes] = {}
    for one in deliveries:
        for i, answer in one.answers.items():
            key = one.grant.records[i]
            if key not in kept or (key, one.grant.request.client) not in payers:
                raise StatementError("an answer was not paid for, and is not released")
            if kept[key] is None:
                fresh[key] = pack(answer)
                kept[key] = unpack(fresh[key])
    if fresh:
        connection.execute(
            records.update().where(records.c.record == sa.bindparam("key"), records.c.answer.is_(None)),
            [{"key": key, "answer": answer} for key, answer in fresh.items()],
        )
    return [{one.grant.records[i]: cast(Array, kept[one.grant.records[i]]) for i in one.answers} for one in deliveries]


def refund_many(connection: sa.Connection, refunded: Sequence[Grant], now: float) -> None:
    """Give back what was paid for records without an answer, where no other request is about to answer them.

    A record that another client has paid for too stays counted in the total and in its neighbourhoods.
    """
    for grant in refunded:
        _refund(connection, grant, now)


def _refund(connection: sa.Connection, grant: Grant, now: float) -> None:
    name = grant.request.client
    client = connection.execute(sa.select(clients.c.id).where(clients.c.name == name)).scalar()
    entries: list[dict[str, Any]] = []
    for i in grant.new:
        key = grant.records[i]
        mine = (grants.c.record == key, grants.c.client == client)
        paid = connection.execute(sa.select(grants.c.pending, grants.c.nats, grants.c.tier).where(*mine)).first()
        if paid is None or stored_answers(connection, {key}).get(key) is not None:
            continue
        if paid.pending > 1:
            connection.execute(grants.update().where(*mine).values(pending=paid.pending - 1))
            continue
        connection.execute(grants.delete().where(*mine))
        _lower(connection, clients, clients.c.id == client, paid.nats)
        entries.append(entry(now, name, "refund", paid.tier, grant.request.digests[i], -1, -paid.nats))
        if connection.execute(sa.select(grants.c.client).where(grants.c.record == key).limit(1)).first() is None:
            connection.execute(records.delete().where(records.c.record == key))
            _lower(connection, counters, counters.c.name == "total", paid.nats)
            for cell in set(grant.request.cells[i]):
                connection.execute(
                    cells.update().where(cells.c.cell == cell, cells.c.spent > 0).values(spent=cells.c.spent - 1)
                )
    write_ledger(connection, entries)


def _lower(connection: sa.Connection, table: sa.Table, row: sa.ColumnElement[bool], nats: float) -> None:
    spent, before = connection.execute(sa.select(table.c.spent, table.c.nats).where(row)).one()
    connection.execute(table.update().where(row).values(spent=max(0, spent - 1), nats=max(0.0, before - nats)))
