"""What the status page says: budgets, tiers, alarms, and which attacks the budgets stop. Counts, never a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from memberwise.gateway.bound_status import BoundStatus, Rest, bound_status, epsilon_at, rest_of, rests_of
from memberwise.gateway.bound_words import as_questions
from memberwise.gateway.bounded import Account, Mechanism
from memberwise.gateway.costs import AttackCost, Verdict, judge
from memberwise.gateway.decide import History, Limit, decide
from memberwise.gateway.keys import ANONYMOUS, JWT_PREFIX, Key, list_keys
from memberwise.gateway.ledger import Spent, read_clients, read_total
from memberwise.gateway.policy import Plan, Policy, Tier
from memberwise.gateway.store import Store
from memberwise.gateway.tables import cells, ledger
from memberwise.gateway.watch import Alarm

# Neighbourhoods listed, and rows of the ledger in which a client's last question is looked for.
MOST_ASKED, LAST_ROWS = 10, 100_000

# Instead of a plan's name, where only a token has it.
UNKNOWN = ""
STATES = ("stopped", "weaker", "possible")

State = Literal["valid", "expired", "revoked", "none"]


@dataclass(frozen=True)
class Facts:
    """What one gateway knows itself, beside its store.

    Attributes:
        model: its name. digest: of the policy's file. loaded: when it was read, seconds since 1970.
        alarms: by client. lowered: the tier of clients with such an alarm.
        refusals: requests refused since the process began, by reason.
        attacks: and what they cost. labels: the output defences leave nothing but labels.
        mechanism: what makes answers with a bound; None: nothing does.
    """

    policy: Policy
    model: str
    digest: str
    loaded: float
    alarms: Mapping[str, Sequence[Alarm]]
    lowered: Mapping[str, Tier]
    refusals: Mapping[str, int]
    attacks: Sequence[AttackCost]
    labels: bool = False
    mechanism: Mechanism | None = None


@dataclass(frozen=True)
class ClientStatus:
    """One client.

    Attributes:
        plan: its name; None where an identity provider's token names it. key: the state of its newest key.
        tier: of its next question; None: refused.
        spent, limit: questions; limit None: unlimited, or not known. nats, epsilon: granted of information, and limits.
        asked: when it asked last, seconds since 1970; None: not lately.
        information: what is left of its budgets of nats and epsilon.
    """

    name: str
    plan: str | None
    key: State
    tier: Tier | None
    spent: int
    limit: int | None
    nats: float
    nats_limit: float | None
    epsilon: float | None
    epsilon_limit: float | None
    asked: float | None
    alarms: tuple[Alarm, ...]
    information: tuple[Rest, ...] = ()

    @property
    def left(self) -> int | None:
        """Questions that are left, whatever they turn out to cost; None where there is no limit."""
        return min((rest.questions for rest in self._rests), default=None)

    @property
    def share(self) -> float | None:
        """The share of its budget that is spent, 0 to 1; None where there is no limit."""
        return max((rest.share for rest in self._rests), default=None)

    @property
    def _rests(self) -> tuple[Rest, ...]:
        questions = () if self.limit is None else (rest_of(self.spent, self.limit, 1),)
        return (*questions, *self.information)


@dataclass(frozen=True)
class Status:
    """The whole page."""

    model: str
    now: float
    clients: tuple[ClientStatus, ...]
    total: int
    total_limit: int | None
    total_tier: Tier | None
    bound: BoundStatus | None
    neighbourhoods: tuple[int, ...]
    neighbourhood_limit: int | None
    refusals: tuple[tuple[str, int], ...]
    verdicts: tuple[Verdict, ...]
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
        last_asked: dict[str, float] = {row[0]: float(row[1]) for row in rows}
        most = sa.select(cells.c.spent).order_by(cells.c.spent.desc()).limit(MOST_ASKED)
        neighbourhoods = tuple(connection.execute(most).scalars())
    with store.reading() as connection:
        account = None if facts.mechanism is None else Account(connection, facts.mechanism)
    of_defence = () if account is None else account.budgets
    overall = _next_tier(policy, None, Spent("", 0, 0.0), total, of_defence, None, facts.mechanism)
    clients = []
    for name in sorted(spent.keys() | keys.keys() | facts.alarms.keys()):
        mine = spent.get(name, Spent(name, 0, 0.0))
        plan, key = _plan(name, keys.get(name), policy), keys.get(name)
        limits = None if plan is None else policy.plans.get(plan)
        client = ClientStatus(
            name=name,
            plan=plan,
            key="none" if key is None else key.state(now),
            tier=None
            if plan is not None and limits is None
            else _next_tier(policy, plan, mine, total, of_defence, facts.lowered.get(name), facts.mechanism),
            spent=mine.questions,
            limit=None if limits is None else limits.questions,
            nats=mine.nats,
            nats_limit=None if limits is None else limits.nats,
            epsilon=epsilon_at(mine.rho, policy.budget.delta),
            epsilon_limit=None if limits is None else limits.epsilon,
            asked=last_asked.get(name),
            alarms=tuple(facts.alarms.get(name, ())),
            information=() if limits is None else rests_of(mine, limits, policy.budget.delta, facts.mechanism),
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
        bound=None if account is None else bound_status(account, total, policy),
        neighbourhoods=neighbourhoods,
        neighbourhood_limit=policy.budget.neighbourhood.questions,
        refusals=tuple(sorted(facts.refusals.items())),
        verdicts=tuple(most_generous(as_questions(policy, facts.mechanism), facts.attacks, facts.labels)),
        version=policy.version,
        digest=facts.digest,
        loaded=facts.loaded,
    )


def most_generous(policy: Policy, attacks: Sequence[AttackCost], labels: bool) -> list[Verdict]:
    """What the policy leaves of each attack, by the plan that leaves most of it."""
    plans = [judge(policy, attacks, name, labels) for name in policy.plans]
    return [max(verdicts, key=_left) for verdicts in zip(*plans, strict=True)]


def alike(verdicts: Sequence[Verdict]) -> list[tuple[str, Verdict]]:
    """Attacks of which the same is to be said, by their names, those that are stopped last; and what is to be said."""
    groups: dict[tuple[object, ...], list[Verdict]] = {}
    for one in sorted(verdicts, key=lambda one: -STATES.index(one.state)):
        key = (one.attack.answers, one.attack.questions, one.attack.once, one.state, one.records, one.everyone)
        groups.setdefault((*key, one.reasons), []).append(one)
    return [(", ".join(one.attack.name for one in group), group[0]) for group in groups.values()]


def _left(verdict: Verdict) -> tuple[int, float]:
    records = float("inf") if verdict.records is None else verdict.records
    return STATES.index(verdict.state), records


def _plan(name: str, key: Key | None, policy: Policy) -> str | None:
    """The plan of a client, None where only its token says."""
    if key is not None:
        return key.plan
    named_by_token = name.startswith(JWT_PREFIX) and policy.access.jwt is not None and policy.access.jwt.plan
    return None if named_by_token else "default" if name == ANONYMOUS or name.startswith(JWT_PREFIX) else None


def _next_tier(
    policy: Policy,
    plan: str | None,
    mine: Spent,
    total: Spent,
    of_defence: tuple[Limit, ...],
    lowered: Tier | None,
    mechanism: Mechanism | None,
) -> Tier | None:
    """The tier of a client's next question (of a plan that is not known by the budgets of all); None: refused."""
    cost_nats, cost_rho = (0.0, 0.0) if mechanism is None else (mechanism.cost_nats, mechanism.cost_rho)
    history = History(
        client=mine.questions,
        client_nats=mine.nats,
        new=1,
        total=total.questions,
        total_nats=total.nats,
        unseen=1,
        crowd=0,
        cost=cost_nats,
        lowered=lowered,
        client_rho=mine.rho,
        total_rho=total.rho,
        cost_rho=cost_rho,
        of_defence=of_defence,
    )
    if plan is None:
        policy = policy.model_copy(update={"plans": {UNKNOWN: Plan(questions=None)}})
    decision = decide(history, policy, UNKNOWN if plan is None else plan)
    return None if decision.refusal is not None else decision.granted
