"""What one transaction of the bank does, on a connection: many requests are granted, answered or given back at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import sqlalchemy as sa

from memberwise.gateway.bounded import Account, Mechanism
from memberwise.gateway.grants import Delivery, Grant, GrantRequest, record_key
from memberwise.gateway.kept import pack, select_rows, stored_answers, unpack
from memberwise.gateway.ledger import Notices
from memberwise.gateway.page import Page
from memberwise.gateway.policy import Policy
from memberwise.gateway.refunds import refund_many
from memberwise.gateway.store import StatementError
from memberwise.gateway.tables import clients, grants, records
from memberwise.types.arrays import Array

__all__ = ["Delivery", "Grant", "GrantRequest", "deliver_many", "grant_many", "refund_many"]


def grant_many(
    connection: sa.Connection,
    requests: Sequence[GrantRequest],
    policy: Policy,
    epoch: bytes,
    now: float,
    notices: Notices,
    mechanism: Mechanism | None = None,
) -> list[Grant]:
    """Decide on requests one after the other, and write down what they took, all in the transaction at hand."""
    if not requests:
        return []
    keyed = [[record_key(epoch, digest) for digest in request.digests] for request in requests]
    page = Page(connection, requests, keyed, None if mechanism is None else Account(connection, mechanism))
    granted = [page.grant(*pair, policy, now, notices) for pair in zip(requests, keyed, strict=True)]
    page.write()
    return granted


def deliver_many(
    connection: sa.Connection, deliveries: Sequence[Delivery], now: float = 0.0, mechanism: Mechanism | None = None
) -> list[dict[bytes, Array]]:
    """Keep the answers to records that have none yet, and return by record what is kept.

    Args:
        mechanism: makes the answer of what all models of an ensemble said, one record after the other.

    Raises:
        StatementError: a record was not paid for.
    """
    if not deliveries:
        return []
    keys = {one.grant.records[i] for one in deliveries for i in one.answers}
    kept = stored_answers(connection, keys)
    names = {one.grant.request.client for one in deliveries}
    mine = sa.select(grants.c.record, clients.c.name).join(clients).where(clients.c.name.in_(list(names)))
    paid = select_rows(connection, mine, grants.c.record, keys)
    payers = {(bytes(row.record), row.name) for row in paid}
    fresh: dict[bytes, bytes] = {}
    account = None if mechanism is None else Account(connection, mechanism)
    for one in deliveries:
        for i, answer in one.answers.items():
            key = one.grant.records[i]
            if key not in kept or (key, one.grant.request.client) not in payers:
                raise StatementError("an answer was not paid for, and is not released")
            if kept[key] is None:
                released = answer if account is None else account.answer(answer, one.grant.request, i, now)
                fresh[key] = pack(released)
                kept[key] = unpack(fresh[key])
    if fresh:
        connection.execute(
            records.update().where(records.c.record == sa.bindparam("key"), records.c.answer.is_(None)),
            [{"key": key, "answer": answer} for key, answer in fresh.items()],
        )
        if account is not None:
            account.write()
    return [{one.grant.records[i]: cast(Array, kept[one.grant.records[i]]) for i in one.answers} for one in deliveries]
