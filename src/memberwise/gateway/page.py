"""One page of the books: the counters that some requests touch, and the decisions on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from memberwise.gateway.bounded import Account
from memberwise.gateway.decide import Decision, History, decide
from memberwise.gateway.grants import Grant, GrantRequest
from memberwise.gateway.kept import select_rows, stored_answers
from memberwise.gateway.ledger import Notices, entry, write_ledger
from memberwise.gateway.policy import Policy, Tier
from memberwise.gateway.rhos import ALL, read_rhos, write_rhos
from memberwise.gateway.tables import Values, cells, clients, counters, grants, records
from memberwise.types.arrays import Array


@dataclass
class _Client:
    id: int | None
    spent: int
    nats: float
    rho: float = 0.0
    changed: bool = False


@dataclass
class _Paid:
    tier: Tier
    nats: float
    pending: int
    new: bool = False
    changed: bool = False


class Page:
    """The counters that some requests touch, read at once; decided on in memory; written at once."""

    def __init__(
        self,
        connection: sa.Connection,
        requests: Sequence[GrantRequest],
        keyed: Sequence[Sequence[bytes]],
        account: Account | None = None,
    ) -> None:
        self.connection, self.account = connection, account
        keys = {key for some in keyed for key in some}
        names = {request.client for request in requests}
        self.clients = {
            row.name: _Client(row.id, row.spent, row.nats)
            for row in select_rows(connection, sa.select(clients), clients.c.name, names)
        }
        self.rhos = read_rhos(connection, [ALL, *(client.id for client in self.clients.values())])
        for client in self.clients.values():
            client.rho = self.rhos.get(client.id, 0.0)
        self.answers = stored_answers(connection, keys)
        by_id = {client.id: name for name, client in self.clients.items()}
        mine = sa.select(grants).where(grants.c.client.in_(list(by_id)))
        self.paid = {
            (by_id[row.client], bytes(row.record)): _Paid(row.tier, row.nats, row.pending)
            for row in select_rows(connection, mine, grants.c.record, keys & set(self.answers))
        }
        near = {
            cell
            for request, some in zip(requests, keyed, strict=True)
            for key, row in zip(some, request.cells, strict=True)
            if key not in self.answers
            for cell in row
        }
        rows = select_rows(connection, sa.select(cells), cells.c.cell, near)
        self.cells = {bytes(row.cell): row.spent for row in rows}
        self.old_cells = frozenset(self.cells)
        self.moved: set[bytes] = set()
        total = connection.execute(sa.select(counters).where(counters.c.name == "total")).one()
        self.total, self.total_nats, self.total_rho = total.spent, total.nats, self.rhos.get(ALL, 0.0)
        self.unseen: list[bytes] = []
        self.entries: list[Values] = []

    def grant(
        self, request: GrantRequest, keys: Sequence[bytes], policy: Policy, now: float, notices: Notices
    ) -> Grant:
        """Decide on one request, and take what it costs."""
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
            client_rho=client.rho,
            total_rho=self.total_rho,
            cost_rho=request.cost_rho,
            of_defence=() if self.account is None else self.account.budgets,
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
        client.rho += len(new) * request.cost_rho
        self.total, self.total_nats = self.total + len(unseen), self.total_nats + len(unseen) * cost
        self.total_rho += len(unseen) * request.cost_rho
        if self.account is not None:
            self.account.take(len(unseen))
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
            if self.account is not None:
                self.account.write()
        write_rhos(self.connection, self.rhos, {ALL: self.total_rho, **{c.id: c.rho for c in self.clients.values()}})
        write_ledger(self.connection, self.entries)

    def _many(self, statement: sa.Insert | sa.Update, rows: Iterable[Values]) -> None:
        if values := list(rows):
            self.connection.execute(statement, values)
