"""What the status page says of answers with a bound: granted, told, left, and what that bounds, with its game."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memberwise.gateway.bound_words import NATS_OF_ONE, bound_after, bound_of, questions_in_all
from memberwise.gateway.bounded import Account
from memberwise.gateway.decide import ROUNDING, rho_limit
from memberwise.gateway.ledger import Spent
from memberwise.gateway.policy import Policy


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


def bound_status(account: Account, total: Spent, policy: Policy) -> BoundStatus:
    """What a mechanism has granted and answered.

    Args:
        account: of the mechanism. total: what was granted to all clients, by earlier models too.
    """
    from memberwise.defences.bounded.words import CLIENTS_APART, bound_sentences, bounded_in_short, up

    mechanism, defence = account.mechanism, account.mechanism.defence
    spent = defence.spent(account.state)
    told = bound_of(mechanism, spent.questions, account.nats, account.rho)
    end = bound_after(mechanism, questions_in_all(policy, mechanism))
    lefts = list(_left(account, total, policy))
    left, share = min(left for left, _ in lefts), max(share for _, share in lefts)
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
        game=told.game,
        left=left,
        share=share,
        rows=tuple(rows),
        so_far=bound_sentences(told),
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


def _left(account: Account, total: Spent, policy: Policy) -> Iterable[tuple[int, float]]:
    """Of each budget of all clients together: the questions that it still grants, and the share that is granted."""
    budget, mechanism = policy.budget, account.mechanism
    limits = [(one.spent, one.limit, one.cost) for one in account.budgets]
    limits += [(total.nats, budget.total_nats, mechanism.cost_nats)] if budget.total_nats is not None else []
    limit = rho_limit(budget.total_epsilon, budget.delta)
    limits += [(total.rho, limit, mechanism.cost_rho)] if limit is not None else []
    for spent, limit, cost in limits:
        yield max(0, int((limit * (1 + ROUNDING) - spent) / cost)), min(1.0, spent / limit)
