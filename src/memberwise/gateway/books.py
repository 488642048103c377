"""What one transaction of the bank does, on a connection: many requests are granted, answered or given back at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import sqlalchemy as sa

from memberwise.gateway.decide import Decision, History, Refusal, decide
from memberwise.gateway.keys import is_name
from memberwise.gateway.ledger import Notices, entry, write_ledger
from memberwise.gateway.policy import Policy, Tier
from memberwise.gateway.store import StatementError
from memberwise.gateway.tables import cells, clients, counters, grants, records
from memberwise.types.arrays import Array

# Values that one IN (...) holds: SQLite takes 32,766, PostgreSQL 65,535.
CHUNK = 10_000


@dataclass(frozen=True)
class GrantRequest:
    """What a client asks.

    Attributes:
        client: its name, under which its budget is kept. plan: name of its plan.
        digests: of its records (``neighbours.digest``), n of them. cells: theirs (``neighbours.cells``), n tuples.
        wait_tier: the tier to which an alarm has lowered this client.
        cost_nats: of one record, for defences with a bound.
    """

    client: str
    plan: str
    digests: Sequence[bytes]
    cells: Sequence[tuple[bytes, ...]]
    wait_tier: Tier | None = None
    cost_nats: float = 0.0

    def __post_init__(self) -> None:
        if len(self.digests) != len(self.cells):
            raise ValueError(f"{len(self.digests)} digests and cells of {len(self.cells)} records")
        if not 0 <= self.cost_nats < float("inf"):
            raise ValueError(f"a record costs {self.cost_nats} nats")
        if not is_name(self.client):
            raise ValueError("this is no name of a client, which has at most 200 printable characters")


@dataclass(frozen=True)
class Grant:
    """What was granted.

    Attributes:
        tier: of the whole response.
        stored: by record, the answer that is kept, ``(classes,)`` float64 or a label ``()`` int64; None: none yet.
        new: indices of records to be answered now, each record once (of two that are alike the first).
        remaining: questions that are left to the client; None: unlimited.
        refusal: which budget does not reach; nothing was taken then.
        records: their keys in the store. request: what was asked.
    """

    tier: Tier
    stored: list[Array | None]
    new: list[int]
    remaining: int | None
    refusal: Refusal | None
    records: Sequence[bytes] = field(repr=False)
    request: GrantRequest = field(repr=False)


@dataclass(frozen=True)
class Delivery:
    """Answers to the new records of a grant, by index."""

    grant: Grant
    answers: Mapping[int, Array]


def epoch_of(policy: Policy, fingerprint: str) -> bytes:
    """The name of a model under a policy's output defences, 32 bytes: with another one, answers are others.

    Args:
        fingerprint: of the model: a hash of its files, say, or an upstream's address and version.
    """
    answer = [one.model_dump_json() for one in policy.answer]
    return hashlib.blake2b(repr((answer, fingerprint)).encode(), digest_size=32, person=b"epoch").digest()


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
    keyed = [[_record(epoch, digest) for digest in request.digests] for request in requests]
    page = _Page(connection, requests, keyed)
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
    kept = _stored(connection, keys)
    paid = _rows(connection, sa.select(grants.c.record, clients.c.name).join(clients), grants.c.record, keys)
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


def pack(answer: Array) -> bytes:
    """An answer as bytes: a vector ``(classes,)`` of float64, or a label ``()``."""
    if answer.ndim == 0:
        return b"l" + int(answer).to_bytes(8, "little", signed=True)
    return b"v" + np.ascontiguousarray(answer, "<f8").tobytes()


def unpack(blob: bytes) -> Array:
    """What ``pack`` made bytes of."""
    if blob[:1] == b"l":
        return np.array(int.from_bytes(blob[1:], "little", signed=True), np.int64)
    return np.frombuffer(blob, "<f8", offset=1).astype(np.float64)


@dataclass
class _Client:
    id: int | None
    spent: int
    nats: float
    changed: bool = False


@dataclass
class _Paid:
    tier: Tier
    nats: float
    pending: int
    new: bool = False
    changed: bool = False


class _Page:
    """The counters that some requests touch, read at once; decided on in memory; written at once."""

    def __init__(
        self, connection: sa.Connection, requests: Sequence[GrantRequest], keyed: Sequence[Sequence[bytes]]
    ) -> None:
        self.connection = connection
        keys = {key for some in keyed for key in some}
        names = {request.client for request in requests}
        self.clients = {
            row.name: _Client(row.id, row.spent, row.nats)
            for row in _rows(connection, sa.select(clients), clients.c.name, names)
        }
        self.answers = _stored(connection, keys)
        by_id = {client.id: name for name, client in self.clients.items()}
        self.paid = {
            (by_id[row.client], bytes(row.record)): _Paid(row.tier, row.nats, row.pending)
            for row in _rows(connection, sa.select(grants), grants.c.record, keys & set(self.answers))
            if row.client in by_id
        }
        near = {
            cell
            for request, some in zip(requests, keyed, strict=True)
            for key, row in zip(some, request.cells, strict=True)
            if key not in self.answers
            for cell in row
        }
        rows = _rows(connection, sa.select(cells), cells.c.cell, near)
        self.cells = {bytes(row.cell): row.spent for row in rows}
        self.old_cells = frozenset(self.cells)
        self.moved: set[bytes] = set()
        total = connection.execute(sa.select(counters).where(counters.c.name == "total")).one()
        self.total, self.total_nats = total.spent, total.nats
        self.unseen: list[bytes] = []
        self.entries: list[dict[str, Any]] = []

    def grant(
        self, request: GrantRequest, keys: Sequence[bytes], policy: Policy, now: float, notices: Notices
    ) -> Grant:
        places: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            places.setdefault(key, i)
        new = [key for key in places if (request.client, key) not in self.paid]
        unseen = [key for key in new if key not in self.answers]
        decision = decide(self._history(request, places, new, unseen), policy, request.plan)
        if decision.refusal is not None:
            reason = decision.refusal.reason
            if notices.is_first(request.client, reason, now):
                self.entries.append(entry(now, request.client, reason, None, None, 0, 0.0))
            none: list[Array | None] = [None] * len(keys)
            return Grant(decision.tier, none, [], decision.remaining, decision.refusal, keys, request)
        self._take(request, places, new, unseen, decision, now)
        if len(new) < len(places) and notices.is_first(request.client, "again", now):
            again = next(key for key in places if key not in new)
            self.entries.append(
                entry(now, request.client, "again", decision.tier, request.digests[places[again]], 0, 0.0)
            )
        ask = [key for key in places if self.answers[key] is None]
        for key in ask:
            paid = self.paid[request.client, key]
            paid.pending, paid.changed = paid.pending + 1, True
        stored = [self.answers[key] for key in keys]
        return Grant(decision.tier, stored, [places[key] for key in ask], decision.remaining, None, keys, request)

    def _history(
        self, request: GrantRequest, places: Mapping[bytes, int], new: Sequence[bytes], unseen: Sequence[bytes]
    ) -> History:
        client = self.clients.get(request.client, _Client(None, 0, 0.0))
        added = Counter(cell for key in unseen for cell in set(request.cells[places[key]]))
        return History(
            client=client.spent,
            client_nats=client.nats,
            new=len(new),
            total=self.total,
            total_nats=self.total_nats,
            unseen=len(unseen),
            crowd=max((self.cells.get(cell, 0) + more for cell, more in added.items()), default=0),
            cost=request.cost_nats,
            tiers=tuple(self.paid[request.client, key].tier for key in places if (request.client, key) in self.paid),
            lowered=request.wait_tier,
        )

    def _take(
        self,
        request: GrantRequest,
        places: Mapping[bytes, int],
        new: Sequence[bytes],
        unseen: Sequence[bytes],
        decision: Decision,
        now: float,
    ) -> None:
        if not new:
            return
        cost, name = request.cost_nats, request.client
        client = self.clients.setdefault(name, _Client(None, 0, 0.0))
        client.spent, client.nats, client.changed = client.spent + len(new), client.nats + len(new) * cost, True
        self.total, self.total_nats = self.total + len(unseen), self.total_nats + len(unseen) * cost
        for key in unseen:
            self.answers[key] = None
            for cell in set(request.cells[places[key]]):
                self.cells[cell] = self.cells.get(cell, 0) + 1
                self.moved.add(cell)
        self.unseen += unseen
        for key in new:
            self.paid[name, key] = _Paid(decision.granted, cost, 0, new=True)
            self.entries.append(entry(now, name, "grant", decision.granted, request.digests[places[key]], 1, cost))

    def write(self) -> None:
        """Write all that has changed."""
        for name, client in self.clients.items():
            if client.id is None:
                made = clients.insert().values(name=name, spent=client.spent, nats=client.nats)
                client.id = self.connection.execute(made.returning(clients.c.id)).scalar_one()
                client.changed = False
        many = self._many
        many(
            clients.update().where(clients.c.id == sa.bindparam("key")),
            ({"key": one.id, "spent": one.spent, "nats": one.nats} for one in self.clients.values() if one.changed),
        )
        many(records.insert(), ({"record": key, "answer": None} for key in self.unseen))
        many(
            cells.insert(),
            ({"cell": cell, "spent": self.cells[cell]} for cell in sorted(self.moved - self.old_cells)),
        )
        many(
            cells.update().where(cells.c.cell == sa.bindparam("key")),
            ({"key": cell, "spent": self.cells[cell]} for cell in sorted(self.moved & self.old_cells)),
        )
        fresh = {pair: paid for pair, paid in self.paid.items() if paid.new}
        many(
            grants.insert(),
            (
                {
                    "record": key,
                    "client": self.clients[name].id,
                    "tier": paid.tier,
                    "nats": paid.nats,
                    "pending": paid.pending,
                }
                for (name, key), paid in fresh.items()
            ),
        )
        changed = {pair: paid for pair, paid in self.paid.items() if paid.changed and not paid.new}
        many(
            grants.update().where(grants.c.record == sa.bindparam("key"), grants.c.client == sa.bindparam("payer")),
            (
                {"key": key, "payer": self.clients[name].id, "pending": paid.pending}
                for (name, key), paid in changed.items()
            ),
        )
        if self.unseen:
            self.connection.execute(
                counters.update().where(counters.c.name == "total").values(spent=self.total, nats=self.total_nats)
            )
        write_ledger(self.connection, self.entries)

    def _many(self, statement: sa.Insert | sa.Update, rows: Iterable[dict[str, Any]]) -> None:
        if values := list(rows):
            self.connection.execute(statement, values)


def _refund(connection: sa.Connection, grant: Grant, now: float) -> None:
    name = grant.request.client
    client = connection.execute(sa.select(clients.c.id).where(clients.c.name == name)).scalar()
    entries: list[dict[str, Any]] = []
    for i in grant.new:
        key = grant.records[i]
        mine = (grants.c.record == key, grants.c.client == client)
        paid = connection.execute(sa.select(grants.c.pending, grants.c.nats, grants.c.tier).where(*mine)).first()
        if paid is None or _stored(connection, {key}).get(key) is not None:
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


def _record(epoch: bytes, digest: bytes) -> bytes:
    return hashlib.blake2b(digest, key=epoch, person=b"record", digest_size=16).digest()


def _stored(connection: sa.Connection, keys: Iterable[bytes]) -> dict[bytes, Array | None]:
    """By record that was paid for by anybody: its answer, or None."""
    rows = _rows(connection, sa.select(records), records.c.record, keys)
    return {bytes(row.record): None if row.answer is None else unpack(bytes(row.answer)) for row in rows}


def _rows(
    connection: sa.Connection, statement: sa.Select[Any], column: sa.Column[Any], values: Iterable[Any]
) -> list[sa.Row[Any]]:
    """The rows whose column is one of many values."""
    many = list(values)
    return [
        row
        for first in range(0, len(many), CHUNK)
        for row in connection.execute(statement.where(column.in_(many[first : first + CHUNK])))
    ]
