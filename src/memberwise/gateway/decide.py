"""What a request is granted, from what was spent before it: the history of questions alone, never an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from memberwise.gateway.policy import Policy, Step, Tier
from memberwise.gateway.tiers import coarsest

Reason = Literal["client", "neighbourhood", "total"]
# By which sums of many costs may be off, as a share: a budget of a thousand times the cost is a thousand questions.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Refusal:
    """Which budget does not reach, and a plain sentence that says so."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Limit:
    """A budget of a defence's own: what was spent of it, and what one record costs."""

    spent: float
    limit: float
    cost: float


@dataclass(frozen=True)
class History:
    """What was spent before a request, and what the request would add.

    Attributes:
        client, client_nats: spent by the client. new: records that are new to it.
        total, total_nats: spent by all. unseen: records that nobody has asked about before.
        crowd: records in the fullest neighbourhood of the unseen ones, these included; 0 where there are none.
        cost: nats of one record. client_rho, total_rho, cost_rho: the same of differential privacy.
        of_defence: budgets of the defence with a bound.
        tiers: at which the client was granted the request's other records.
        lowered: the tier to which an alarm has lowered what is new to the client.
    """

    client: int
    client_nats: float
    new: int
    total: int
    total_nats: float
    unseen: int
    crowd: int
    cost: float = 0.0
    tiers: tuple[Tier, ...] = ()
    lowered: Tier | None = None
    client_rho: float = 0.0
    total_rho: float = 0.0
    cost_rho: float = 0.0
    of_defence: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class _Budget:
    """One limit, what was spent of it, and what each of ``more`` records adds."""

    spent: float
    limit: float | None
    more: int
    cost: float = 1

    @property
    def reaches(self) -> bool:
        limit = self.limit if self.limit is None or isinstance(self.limit, int) else self.limit * (1 + ROUNDING)
        return limit is None or self.spent + self.more * self.cost <= limit

    @property
    def share(self) -> float:
        """The share that is spent when the last of the records is asked about."""
        return 0.0 if self.limit is None else (self.spent + max(0, self.more - 1) * self.cost) / self.limit


@dataclass(frozen=True)
class Decision:
    """What is granted: the tier of the new records, that of the whole response, and what is left; or a refusal."""

    granted: Tier
    tier: Tier
    remaining: int | None
    refusal: Refusal | None = None


def decide(history: History, policy: Policy, plan: str) -> Decision:
    """Whether a request fits into all budgets, and at which tier it is answered.

    All or nothing: where one record does not fit, none is granted. A response has one tier, the coarsest of its
    records': of the new ones that which the ladders name for the last of them, of the others that at which they were
    granted, but never a finer one than the ladders now begin with.

    Args:
        plan: name of the client's plan; one that the policy does not have grants nothing.
    """
    limits = policy.plans.get(plan)
    if limits is None:
        return _refused("client", "The plan of this client is not in the policy any more.", None)
    remaining = None if limits.questions is None else max(0, limits.questions - history.client)
    refusal = _refusal(history, policy, plan)
    if refusal is not None:
        return _refused(refusal.reason, refusal.message, remaining)
    budget = policy.budget
    client_share = max(one.share for one in _budgets_of_client(history, policy, plan))
    total = max(one.share for one in _budgets_of_all(history, policy))
    granted = coarsest(
        [
            tier_at(limits.ladder, client_share),
            tier_at(budget.ladder, total),
            *(() if history.lowered is None else (history.lowered,)),
        ]
    )
    finest = (limits.ladder[0].tier, budget.ladder[0].tier)
    tier = coarsest([*history.tiers, *finest, *([granted] if history.new else [])])
    return Decision(granted, tier, None if remaining is None else max(0, remaining - history.new))


def tier_at(ladder: Sequence[Step], share: float) -> Tier:
    """The tier when this share of a budget (0: nothing, 1: all) is spent."""
    return next(step.tier for step in reversed(ladder) if step.above <= share)


def _refusal(history: History, policy: Policy, plan: str) -> Refusal | None:
    limits, near = policy.plans[plan], policy.budget.neighbourhood.questions
    questions, *information = _budgets_of_client(history, policy, plan)
    if history.new and not questions.reaches:
        return Refusal("client", _sentence(history.client, limits.questions, history.new))
    if history.new and not all(one.reaches for one in information):
        return Refusal("client", "The rest of this client's budget of information does not reach for this request.")
    if history.unseen and history.crowd > (near or history.crowd):
        return Refusal(
            "neighbourhood", "Too many questions have been asked about records as near to each other as these."
        )
    if history.unseen and not all(one.reaches for one in _budgets_of_all(history, policy)):
        return Refusal("total", "The rest of the budget of all clients together does not reach for this request.")
    return None


def _budgets_of_client(history: History, policy: Policy, plan: str) -> tuple[_Budget, ...]:
    limits, new = policy.plans[plan], history.new
    return (
        _Budget(history.client, limits.questions, new),
        _Budget(history.client_nats, limits.nats, new, history.cost),
        _Budget(history.client_rho, rho_limit(limits.epsilon, policy.budget.delta), new, history.cost_rho),
    )


def _budgets_of_all(history: History, policy: Policy) -> tuple[_Budget, ...]:
    budget, unseen = policy.budget, history.unseen
    return (
        _Budget(history.total, budget.total, unseen),
        _Budget(history.total_nats, budget.total_nats, unseen, history.cost),
        _Budget(history.total_rho, rho_limit(budget.total_epsilon, budget.delta), unseen, history.cost_rho),
        *(_Budget(one.spent, one.limit, unseen, one.cost) for one in history.of_defence),
    )


@cache
def rho_limit(epsilon: float | None, delta: float) -> float | None:
    """The most that may be spent for an epsilon, in rho of zero-concentrated differential privacy, which adds up."""
    if epsilon is None:
        return None
    from memberwise.defences.bounded.pate import rho_of

    return rho_of(epsilon, delta)


def _refused(reason: Reason, message: str, remaining: int | None) -> Decision:
    return Decision("label", "label", remaining, Refusal(reason, message))


def _sentence(spent: int, limit: int | None, more: int) -> str:
    total = limit or 0
    return (
        f"This client has {max(0, total - spent):,} of its {total:,} questions left, and this request needs {more:,}."
    )
