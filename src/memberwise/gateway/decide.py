"""What a request is granted, from what was spent before it: the history of questions alone, never an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memberwise.gateway.policy import Policy, Step, Tier
from memberwise.gateway.tiers import coarsest

Reason = Literal["client", "neighbourhood", "total"]


@dataclass(frozen=True)
class Refusal:
    """Which budget does not reach, and a plain sentence that says so."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class History:
    """What was spent before a request, and what the request would add.

    Attributes:
        client, client_nats: spent by the client. new: records that are new to it.
        total, total_nats: spent by all. unseen: records that nobody has asked about before.
        crowd: records in the fullest neighbourhood of the unseen ones, these included; 0 where there are none.
        cost: nats of one record.
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
    client_share = _share(history.client, limits.questions, history.new)
    client_share = max(client_share, _share(history.client_nats, limits.nats, history.new, history.cost))
    total = _share(history.total, budget.total, history.unseen)
    total = max(total, _share(history.total_nats, budget.total_nats, history.unseen, history.cost))
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
    limits, budget = policy.plans[plan], policy.budget
    if history.new and not _fits(history.client, limits.questions, history.new):
        return Refusal("client", _sentence(history.client, limits.questions, history.new))
    if history.new and not _fits(history.client_nats, limits.nats, history.new * history.cost):
        return Refusal("client", "The rest of this client's budget of information does not reach for this request.")
    if history.unseen and history.crowd > (budget.neighbourhood.questions or history.crowd):
        return Refusal(
            "neighbourhood", "Too many questions have been asked about records as near to each other as these."
        )
    if history.unseen and not (
        _fits(history.total, budget.total, history.unseen)
        and _fits(history.total_nats, budget.total_nats, history.unseen * history.cost)
    ):
        return Refusal("total", "The rest of the budget of all clients together does not reach for this request.")
    return None


def _refused(reason: Reason, message: str, remaining: int | None) -> Decision:
    return Decision("label", "label", remaining, Refusal(reason, message))


def _fits(spent: float, limit: float | None, more: float) -> bool:
    return limit is None or spent + more <= limit


def _share(spent: float, limit: float | None, more: int, cost: float = 1.0) -> float:
    """The share that is spent when the last of ``more`` records is asked about."""
    return 0.0 if limit is None else (spent + max(0, more - 1) * cost) / limit


def _sentence(spent: int, limit: int | None, more: int) -> str:
    total = limit or 0
    return (
        f"This client has {max(0, total - spent):,} of its {total:,} questions left, and this request needs {more:,}."
    )
