"""The ledger: who asked when, at which tier, about which record (its digest), at what cost. Rows are only added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from memberwise.gateway.policy import Tier
from memberwise.gateway.rhos import ALL, read_rhos
from memberwise.gateway.store import Store
from memberwise.gateway.tables import Values, clients, counters, ledger, rhos

Event = Literal["grant", "answer", "again", "refund", "client", "neighbourhood", "total"]
# Seconds in which what costs nothing is written down once a client.
WINDOW = 60


@dataclass(frozen=True)
class Entry:
    """One row: ``time`` in seconds since 1970, ``digest`` of the record, ``questions`` and ``nats`` that it cost.

    ``event``: "grant"; "answer": made by a defence with a bound, with the nats that it told, which are never more than
    were granted; "again": asked again, at no cost; "refund": given back; or the budget that did not reach.
    """

    time: float
    client: str
    event: Event
    tier: Tier | None
    digest: bytes | None
    questions: int
    nats: float


@dataclass(frozen=True)
class Spent:
    """What was spent under one name; nats and rho (of differential privacy) at the most that it can cost."""

    name: str
    questions: int
    nats: float
    rho: float = 0.0


class Notices:
    """Which free events of which client were written down in this minute: they must not fill the disk."""

    def __init__(self) -> None:
        self._window = -1
        self._seen: set[tuple[str, str]] = set()

    def is_first(self, client: str, event: Event, now: float) -> bool:
        """Whether the event is the client's first of its kind in this minute; from now on it is not."""
        window = int(now // WINDOW)
        if window != self._window:
            self._window, self._seen = window, set()
        if (client, event) in self._seen:
            return False
        self._seen.add((client, event))
        return True


def entry(
    now: float, client: str, event: Event, tier: Tier | None, digest: bytes | None, questions: int, nats: float
) -> Values:
    """A row to be written."""
    return {
        "time": now,
        "client": client,
        "event": event,
        "tier": tier,
        "digest": digest,
        "questions": questions,
        "nats": nats,
    }


def write_ledger(connection: sa.Connection, rows: Sequence[Values]) -> None:
    """Add rows, in the transaction of what they tell of."""
    if rows:
        connection.execute(ledger.insert(), list(rows))


def read_ledger(store: Store, last: int = 100) -> list[Entry]:
    """The last entries, newest first."""
    columns = [ledger.c[name] for name in ("time", "client", "event", "tier", "digest", "questions", "nats")]
    with store.reading() as connection:
        rows = connection.execute(sa.select(*columns).order_by(ledger.c.id.desc()).limit(last)).all()
    return [Entry(*row) for row in rows]


def read_clients(store: Store) -> list[Spent]:
    """What each client has spent, by name; clients that were never granted anything are not among them."""
    with store.reading() as connection:
        rho = sa.func.coalesce(rhos.c.rho, 0.0)
        both = clients.outerjoin(rhos, rhos.c.client == clients.c.id)
        spent = sa.select(clients.c.name, clients.c.spent, clients.c.nats, rho).select_from(both)
        rows = connection.execute(spent.order_by(clients.c.name))
        return [Spent(*row) for row in rows]


def read_total(store: Store) -> Spent:
    """What all clients together have spent: distinct records."""
    with store.reading() as connection:
        row = connection.execute(sa.select(counters).where(counters.c.name == "total")).one()
        rho = read_rhos(connection, [ALL]).get(ALL, 0.0)
    return Spent(row.name, row.spent, row.nats, rho)
