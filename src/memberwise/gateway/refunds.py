"""What the books give back: units that were paid for records which nobody was told about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import sqlalchemy as sa

from memberwise.gateway.bounded import Account, Mechanism
from memberwise.gateway.grants import Grant
from memberwise.gateway.kept import select_rows, stored_answers
from memberwise.gateway.ledger import entry, write_ledger
from memberwise.gateway.rhos import ALL, read_rhos, write_rhos
from memberwise.gateway.tables import Row, Values, cells, clients, counters, grants, records

Payer = tuple[bytes, int]


def refund_many(
    connection: sa.Connection, refunded: Sequence[Grant], now: float, mechanism: Mechanism | None = None
) -> None:
    """Give back what was paid for records without an answer, where no other request is about to answer them.

    A record that another client has paid for too stays counted in the total and in its neighbourhoods.
    """
    if refunded:
        slip = _Slip(connection, {grant.records[i] for grant in refunded for i in grant.new})
        for grant in refunded:
            for i in grant.new:
                slip.give_back(grant, i, now)
        slip.write()
        if mechanism is not None and slip.unseen:
            account = Account(connection, mechanism)
            account.take(-len(slip.unseen))
            account.write()


class _Slip:
    """The records that refunds are about: read at once, given back in memory, written at once."""

    def __init__(self, connection: sa.Connection, keys: set[bytes]) -> None:
        self.connection = connection
        self.answers = stored_answers(connection, keys)
        statement = sa.select(grants, clients.c.name).join(clients)
        self.paid: dict[bytes, dict[str, Row]] = {}
        for row in select_rows(connection, statement, grants.c.record, keys):
            self.paid.setdefault(bytes(row.record), {})[row.name] = row
        self.returned: Counter[Payer] = Counter()
        self.gone: list[Payer] = []
        self.unseen: list[bytes] = []
        self.cells: Counter[bytes] = Counter()
        # Questions, nats and rho, by client and (None) in total.
        self.lower: dict[int | None, tuple[int, float, float]] = {}
        self.entries: list[Values] = []

    def give_back(self, grant: Grant, i: int, now: float) -> None:
        """One record of a grant; the last of the requests that wait for it gives the unit back."""
        key, name = grant.records[i], grant.request.client
        row = self.paid.get(key, {}).get(name)
        if row is None or self.answers.get(key) is not None:
            return
        payer = (key, row.client)
        self.returned[payer] += 1
        if row.pending > self.returned[payer]:
            return
        del self.paid[key][name]
        self.gone.append(payer)
        self._lower(row.client, row.nats, grant.request.cost_rho)
        self.entries.append(entry(now, name, "refund", row.tier, grant.request.digests[i], -1, -row.nats))
        if not self.paid[key]:
            self.unseen.append(key)
            self._lower(None, row.nats, grant.request.cost_rho)
            self.cells.update(set(grant.request.cells[i]))

    def write(self) -> None:
        """Write all that has changed."""
        mine = (grants.c.record == sa.bindparam("key"), grants.c.client == sa.bindparam("payer"))
        waiting = [payer for payer in self.returned if payer not in set(self.gone)]
        self._many(
            grants.update().where(*mine).values(pending=grants.c.pending - sa.bindparam("fewer")),
            [{"key": key, "payer": client, "fewer": self.returned[key, client]} for key, client in waiting],
        )
        self._many(grants.delete().where(*mine), [{"key": key, "payer": client} for key, client in self.gone])
        self._many(records.delete().where(records.c.record == sa.bindparam("key")), [{"key": k} for k in self.unseen])
        self._many(
            cells.update()
            .where(cells.c.cell == sa.bindparam("key"))
            .values(spent=cells.c.spent - sa.bindparam("fewer")),
            [{"key": cell, "fewer": fewer} for cell, fewer in sorted(self.cells.items())],
        )
        self._many(
            cells.delete().where(cells.c.cell == sa.bindparam("key"), cells.c.spent <= 0),
            [{"key": cell} for cell in sorted(self.cells)],
        )
        for client, (questions, nats, _) in self.lower.items():
            table, row = (counters, counters.c.name == "total") if client is None else (clients, clients.c.id == client)
            spent = self.connection.execute(sa.select(table.c.spent, table.c.nats).where(row)).one()
            remainder = {"spent": max(0, spent.spent - questions), "nats": max(0.0, spent.nats - nats)}
            self.connection.execute(table.update().where(row).values(**remainder))
        fewer = {ALL if client is None else client: rho for client, (_, _, rho) in self.lower.items() if rho}
        before = read_rhos(self.connection, fewer)
        write_rhos(self.connection, before, {key: max(0.0, before.get(key, 0.0) - rho) for key, rho in fewer.items()})
        write_ledger(self.connection, self.entries)

    def _lower(self, client: int | None, nats: float, rho: float) -> None:
        before = self.lower.get(client, (0, 0.0, 0.0))
        self.lower[client] = (before[0] + 1, before[1] + nats, before[2] + rho)

    def _many(self, statement: sa.Update | sa.Delete, rows: list[Values]) -> None:
        if rows:
            self.connection.execute(statement, rows)
