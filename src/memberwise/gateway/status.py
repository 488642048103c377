"""What the status page says: budgets, tiers, alarms, and which attacks the budgets stop. Counts, never a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import sqlalchemy as sa

from memberwise.gateway.decide import tier_at
from memberwise.gateway.keys import ANONYMOUS, JWT_PREFIX, Key, list_keys
from memberwise.gateway.ledger import read_clients, read_total
from memberwise.gateway.policy import TIERS, Policy, Tier
from memberwise.gateway.store import Store
from memberwise.gateway.tables import cells, ledger
from memberwise.gateway.tiers import coarsest
from memberwise.gateway.watch import Alarm

# Neighbourhoods listed, and rows of the ledger in which a client's last question is looked for.
MOST_ASKED, LAST_ROWS = 10, 100_000

State = Literal["valid", "expired", "revoked", "none"]


class AttackCost(Protocol):
    """What an attack needs: questions about one record, and how much of each answer."""

    @property
    def name(self) -> str: ...

    @property
    def questions(self) -> int: ...

    @property
    def answers(self) -> Literal["labels", "vectors", "logits"]: ...


@dataclass(frozen=True)
class Facts:
    """What one gateway knows itself, beside its store.

    Attributes:
        model: its name. digest: of the policy's file. loaded: when it was read, seconds since 1970.
        alarms: by client. lowered: the tier of clients with such an alarm.
        refusals: requests refused since the process began, by reason.
        costs: of the attacks.
    """

    policy: Policy
    model: str
    digest: str
    loaded: float
    alarms: Mapping[str, Sequence[Alarm]]
    lowered: Mapping[str, Tier]
    refusals: Mapping[str, int]
    costs: Sequence[AttackCost]


@dataclass(frozen=True)
class ClientStatus:
    """One client.

    Attributes:
        plan: its name; None where an identity provider's token names it. key: the state of its newest key.
        tier: of its next question; None: refused.
        spent, limit: questions; limit None: unlimited, or not known. nats, nats_limit: of information.
        asked: when it asked last, seconds since 1970; None: not lately.
    """

    name: str
    plan: str | None
    key: State
    tier: Tier | None
    spent: int
    limit: int | None
    nats: float
    nats_limit: float | None
    asked: float | None
    alarms: tuple[Alarm, ...]

    @property
    def share(self) -> float | None:
        """The share of its budget that is spent, 0 to 1; None where there is no limit."""
        return None if self.limit is None else min(1.0, self.spent / self.limit)


@dataclass(frozen=True)
class Stop:
    """Whether the budgets stop an attack: "no" about any record, "some" (at most so many records), or "yes"; why."""

    attack: str
    questions: int
    answers: str
    stopped: Literal["yes", "some", "no"]
    why: str


@dataclass(frozen=True)
class Status:
    """The whole page."""

    model: str
    now: float
    clients: tuple[ClientStatus, ...]
    total: int
    total_limit: int | None
    total_tier: Tier | None
    neighbourhoods: tuple[int, ...]
    neighbourhood_limit: int | None
    refusals: tuple[tuple[str, int], ...]
    stops: tuple[Stop, ...]
    version: int
    digest: str
    loaded: float

    @property
    def alarmed(self) -> tuple[ClientStatus, ...]:
        """Clients with alarms."""
        return tuple(client for client in self.clients if client.alarms)


def status_of(store: Store, facts: Facts, now: float) -> Status:
    """Read the store. It waits for the disk: not for an event loop.

    Args:
        now: seconds since 1970.

    Raises:
        StoreError: the store does not answer.
    """
    policy = facts.policy
    spent = {client.name: client for client in read_clients(store)}
    keys = {key.name: key for key in list_keys(store) if key.kind == "client"}  # of a name the newest
    total = read_total(store)
    with store.reading() as connection:
        newest = connection.execute(sa.select(sa.func.max(ledger.c.id))).scalar() or 0
        last = sa.select(ledger.c.client, sa.func.max(ledger.c.time)).group_by(ledger.c.client)
        rows = connection.execute(last.where(ledger.c.id > newest - LAST_ROWS)).all()
        asked: dict[str, float] = {row[0]: float(row[1]) for row in rows}
        most = sa.select(cells.c.spent).order_by(cells.c.spent.desc()).limit(MOST_ASKED)
        neighbourhoods = tuple(connection.execute(most).scalars())
    rest = policy.budget.total is None or total.questions < policy.budget.total
    overall = tier_at(policy.budget.ladder, _share(total.questions, policy.budget.total)) if rest else None
    clients = []
    for name in sorted(spent.keys() | keys.keys() | facts.alarms.keys()):
        questions, nats = (spent[name].questions, spent[name].nats) if name in spent else (0, 0.0)
        plan, key = _plan(name, keys.get(name), policy), keys.get(name)
        limits = None if plan is None else policy.plans.get(plan)
        client = ClientStatus(
            name=name,
            plan=plan,
            key="none" if key is None else key.state(now),
            tier=_next_tier(policy, plan, questions, nats, overall, facts.lowered.get(name)),
            spent=questions,
            limit=None if limits is None else limits.questions,
            nats=nats,
            nats_limit=None if limits is None else limits.nats,
            asked=asked.get(name),
            alarms=tuple(facts.alarms.get(name, ())),
        )
        clients.append(client)
    clients.sort(key=lambda client: (not client.alarms, -(client.share or 0), -client.spent))
    return Status(
        model=facts.model,
        now=now,
        clients=tuple(clients),
        total=total.questions,
        total_limit=policy.budget.total,
        total_tier=overall,
        neighbourhoods=neighbourhoods,
        neighbourhood_limit=policy.budget.neighbourhood.questions,
        refusals=tuple(sorted(facts.refusals.items())),
        stops=tuple(stop_of(cost, policy) for cost in facts.costs),
        version=policy.version,
        digest=facts.digest,
        loaded=facts.loaded,
    )


def stop_of(cost: AttackCost, policy: Policy) -> Stop:
    """Whether the budgets that the most generous plan grants reach for an attack on one record, or on how many."""
    plans = policy.plans.values()
    finest = min((plan.ladder[0].tier for plan in plans), key=TIERS.index)
    finest = coarsest((finest, policy.budget.ladder[0].tier))
    limits = [plan.questions for plan in plans]
    client = None if None in limits else max(limit for limit in limits if limit is not None)
    crowd, total, questions = policy.budget.neighbourhood.questions, policy.budget.total, cost.questions

    def stop(stopped: Literal["yes", "some", "no"], why: str) -> Stop:
        return Stop(cost.name, questions, cost.answers, stopped, why)

    if cost.answers == "vectors" and finest == "label":
        return stop("yes", "it needs scores, and nobody is answered more than labels")
    # Of n questions about a record one is the record itself, the others are near it.
    for limit, whose in ((crowd, "about one neighbourhood"), (client, "a client"), (total, "of all clients together")):
        if limit is not None and questions > limit:
            return stop("yes", f"{limit:,} questions {whose}")
    reach = [(total // questions, "all clients together")] if total is not None else []
    reach += [(client // questions, "a client")] if client is not None else []
    if not reach:
        return stop("no", "no budget limits the number of records")
    records, whose = min(reach)
    words = f"{whose} can attack {records:,} record{'s' if records != 1 else ''}"
    return stop("no" if questions == 1 else "some", words)


def _plan(name: str, key: Key | None, policy: Policy) -> str | None:
    """The plan of a client, None where only its token says."""
    if key is not None:
        return key.plan
    named_by_token = name.startswith(JWT_PREFIX) and policy.access.jwt is not None and policy.access.jwt.plan
    return None if named_by_token else "default" if name == ANONYMOUS or name.startswith(JWT_PREFIX) else None


def _next_tier(
    policy: Policy, plan: str | None, questions: int, nats: float, overall: Tier | None, lowered: Tier | None
) -> Tier | None:
    """The tier of a client's next question; None where it is refused."""
    limits = None if plan is None else policy.plans.get(plan)
    if overall is None or (plan is not None and limits is None):
        return None
    tiers = [overall, *([lowered] if lowered is not None else [])]
    if limits is not None:
        if limits.questions is not None and questions >= limits.questions:
            return None
        share = max(_share(questions, limits.questions), _share(nats, limits.nats))
        tiers.append(tier_at(limits.ladder, share))
    return coarsest(tiers)


def _share(spent: float, limit: float | None) -> float:
    return 0.0 if limit is None else spent / limit
