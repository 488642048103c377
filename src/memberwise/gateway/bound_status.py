"""What the status page says of answers with a bound: granted, told, left, and what that bounds, with its game."""

from __future__ import annotations

from dataclasses import dataclass

from memberwise.gateway.bound_words import NATS_OF_ONE, bound_after, bound_of, questions_in_all
from memberwise.gateway.bounded import Account, Mechanism
from memberwise.gateway.decide import ROUNDING, rho_limit
from memberwise.gateway.ledger import Spent
from memberwise.gateway.policy import Plan, Policy


@dataclass(frozen=True)
class BoundStatus:
    """One defence with a bound.

    Attributes:
        name: its own. game: of its bound, "i" or "ii".
        left: questions that its own and the policy's budgets of information still grant to all clients together.
        rows: (what, how much) of what was granted and told. share: of the budget that is granted, 0 to 1.
        so_far: what the answers so far bound. at_end: and all that may still be granted. clients: of a single client.
    """

    name: str
    game: str
    left: int
    share: float
    rows: tuple[tuple[str, str], ...]
    so_far: str
    at_end: str
    clients: str


@dataclass(frozen=True)
class Rest:
    """What is left of one budget: questions; and the share that is spent, 0 to 1."""

    questions: int
    share: float


def bound_status(account: Account, total: Spent, policy: Policy) -> BoundStatus:
    """What a mechanism has granted and answered.

    Args:
        account: of the mechanism. total: what was granted to all clients, by earlier models too.
    """
    from memberwise.defences.bounded.words import CLIENTS_APART, bound_sentences, bounded_in_short, up

    mechanism, defence = account.mechanism, account.mechanism.defence
    spent = defence.spent(account.state)
    bound = bound_of(mechanism, spent.questions, account.nats, account.rho)
    end = bound_after(mechanism, questions_in_all(policy, mechanism))
    of_defence = [rest_of(one.spent, one.limit, one.cost) for one in account.budgets]
    limits = Plan(nats=policy.budget.total_nats, epsilon=policy.budget.total_epsilon)
    rests = [*of_defence, *rests_of(total, limits, policy.budget.delta, mechanism)]
    rows = [("Questions answered anew", f"{spent.questions:,}")]
    if mechanism.cost_nats:
        rows += [
            ("Granted, at the most that it can cost", f"{up(account.nats)} of {up(end.nats or 0.0)} nats"),
            ("Told, as it turned out (no guarantee)", f"{up(spent.nats or 0.0)} nats"),
            ("Of one question at most", f"{up(mechanism.cost_nats)} nats"),
        ]
    else:
        granted = epsilon_at(account.rho, end.delta or 1e-5)
        rows += [
            ("Granted, at the most that it can cost", f"epsilon {up(granted or 0.0)} of {up(end.epsilon or 0.0)}"),
            ("Told, as it turned out (no guarantee)", f"epsilon {up(spent.epsilon or 0.0)}"),
            ("At delta", f"{end.delta:g}"),
        ]
    return BoundStatus(
        name=type(defence).__name__.lower(),
        game=bound.game,
        left=min((rest.questions for rest in rests), default=0),
        share=max((rest.share for rest in rests), default=1.0),
        rows=tuple(rows),
        so_far=bound_sentences(bound),
        at_end=f"When all is granted that the budgets allow, {end.questions:,} questions, in {bounded_in_short(end)}.",
        clients=NATS_OF_ONE
        if mechanism.cost_nats
        else f"A client's own epsilon, at delta {policy.budget.delta:g}: {CLIENTS_APART}",
    )


def epsilon_at(rho: float, delta: float) -> float | None:
    """Epsilon of what was granted; None where nothing of it was."""
    if not rho:
        return None
    from memberwise.defences.bounded.pate import epsilon_of

    return epsilon_of(rho, delta)


def rests_of(spent: Spent, limits: Plan, delta: float, mechanism: Mechanism | None) -> tuple[Rest, ...]:
    """What is left of budgets of nats and epsilon, where a mechanism counts them."""
    if mechanism is None:
        return ()
    rho = rho_limit(limits.epsilon, delta) if mechanism.cost_rho else None
    pairs = ((spent.nats, limits.nats, mechanism.cost_nats), (spent.rho, rho, mechanism.cost_rho))
    return tuple(rest_of(used, limit, cost) for used, limit, cost in pairs if limit is not None and cost)


def rest_of(spent: float, limit: float, cost: float) -> Rest:
    """What is left of one budget, at what a question costs at most."""
    exact = isinstance(limit, int)
    questions = limit - spent if exact else (limit * (1 + ROUNDING) - spent) / cost
    return Rest(max(0, int(questions)), min(1.0, spent / limit) if limit else 1.0)
