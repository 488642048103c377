"""What each attack of ``memberwise list attacks`` costs in questions, and which of them a policy stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memberwise.gateway.policy import TIERS, Plan, Policy, Step
from memberwise.gateway.tiers import coarsest

Answers = Literal["labels", "scores", "vectors", "logits", "weights"]
State = Literal["possible", "weaker", "stopped"]

# A search along the boundary of 1,000 questions spreads over several neighbourhoods: four to eight times the limit of
# one was granted in the median, twelve times at most (digits, Location-30, MNIST, breast cancer; docs/decisions.md).
SPREAD = 15


@dataclass(frozen=True)
class AttackCost:
    """What an attack asks.

    Attributes:
        name: as in ``memberwise list attacks``.
        questions: about one record, as the package carries it out. least: with fewer it does not work at all.
        answers: the least that answers must tell: a label, a score of the true class, the whole vector, logits; or the
            model's weights, which no answer tells.
        once: further questions, which do not grow with the records.
        near: its questions lie near the record, so that a neighbourhood's limit counts them together.
    """

    name: str
    questions: int
    answers: Answers
    least: int = 1
    once: int = 0
    near: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a policy leaves of an attack.

    Attributes:
        state: for one client: "possible", "weaker" (coarser answers, or fewer questions about a record) or "stopped".
        records: about so many records one client can carry it out in its lifetime; None: no limit.
        everyone: and all clients together, who may share what they learn.
        reasons: sentences: what stops or weakens it.
    """

    attack: AttackCost
    state: State
    records: int | None
    everyone: int | None
    reasons: tuple[str, ...]


def attack_costs() -> list[AttackCost]:
    """The costs of all built-in attacks, in the order of ``memberwise list attacks``."""
    from memberwise.attacks import ATTACKS
    from memberwise.signals.collectors.near import NearCopies
    from memberwise.signals.collectors.random_inputs import RandomInputs
    from memberwise.signals.collectors.votes import DEGREES, NOISE, SHIFTS, Noised
    from memberwise.study.schema import AttacksConfig

    boundary = AttacksConfig().boundary_queries
    # (questions, least, once, near) by the collector that asks them.
    per_record = {
        "augmented": (2 * (1 + len(SHIFTS) + len(DEGREES)), 2, 0, False),
        "noised": (Noised().copies * len(NOISE), 2, 0, False),
        "near": (1 + NearCopies().copies, 2, 0, True),
        "boundary": (boundary, min(100, boundary), 0, True),
        "random": (1, 1, RandomInputs().count, False),
    }
    costs = []
    for attack in ATTACKS.values():
        needs = attack.needs
        extra = needs.extra_name
        questions, least, once, near = per_record.get(extra or "", (1, 1, 0, False))
        answers: Answers
        if extra == "gradient":
            answers = "weights"
        elif needs.answers in ("labels", "logits"):
            answers = "labels" if needs.answers == "labels" else "logits"
        else:
            answers = "vectors" if needs.vectors else "scores"
        costs.append(AttackCost(attack.name, questions, answers, least, once, near))
    return costs


def judge(policy: Policy, attacks: Sequence[AttackCost], plan: str = "default", labels: bool = False) -> list[Verdict]:
    """What a policy leaves of each attack, by the ladders and the budgets.

    Args:
        plan: of the client. labels: the output defences leave nothing but labels.
    """
    return [_verdict(policy, policy.plans[plan], attack, labels) for attack in attacks]


def _verdict(policy: Policy, plan: Plan, attack: AttackCost, labels: bool) -> Verdict:
    budget = policy.budget
    stopped = _stopped_by_answers(policy, plan, attack, labels)
    if stopped is not None:
        return Verdict(attack, "stopped", 0, 0, (stopped,))
    reasons, about = [], attack.questions
    if attack.answers == "vectors" and coarsest((plan.ladder[0].tier, budget.ladder[0].tier)) != "vector":
        reasons.append("Answers show three rounded entries at most.")
    limit = budget.neighbourhood.questions
    if attack.near and limit is not None and SPREAD * limit < attack.questions:
        if SPREAD * limit < attack.least:
            reason = f"{attack.least:,} questions near a record are needed, and a neighbourhood grants {limit:,}."
            return Verdict(attack, "stopped", 0, 0, (reason,))
        about = SPREAD * limit
        reasons.append(f"A neighbourhood grants {limit:,} questions, so at most {about:,} or so reach a record.")
    client_limit = _told(plan.questions, plan.ladder, attack)
    everyone = _told(budget.total, budget.ladder, attack)
    for enough, whose in ((everyone, "the budget of all clients together"), (client_limit, "one client's budget")):
        if enough is not None and enough < attack.least + attack.once:
            reason = f"{attack.least + attack.once:,} questions are needed, and {whose} has {enough:,}."
            shared = 0 if whose.startswith("the") else _records(everyone, attack, about)
            return Verdict(attack, "stopped", 0, shared, (*reasons, reason))
        if enough is not None and enough < about + attack.once:
            reasons.append(f"Of {attack.questions + attack.once:,} questions {enough:,} fit into {whose}.")
    return Verdict(
        attack,
        "weaker" if reasons else "possible",
        _records(client_limit, attack, about),
        _records(everyone, attack, about),
        tuple(reasons),
    )


def _stopped_by_answers(policy: Policy, plan: Plan, attack: AttackCost, labels: bool) -> str | None:
    if attack.answers == "weights":
        return "The model's weights are needed, which no answer tells."
    if attack.answers == "labels":
        return None
    if labels or "label" in (plan.ladder[0].tier, policy.budget.ladder[0].tier):
        return "Answers are labels alone."
    logits = policy.upstream is not None and policy.upstream.answers in ("auto", "logits")
    if attack.answers == "logits" and not logits:
        return "Logits are needed, and answers are probabilities."
    return None


def _told(limit: int | None, ladder: Sequence[Step], attack: AttackCost) -> int | None:
    """How many of a budget's questions are answered by enough for an attack; None: no limit."""
    if limit is None or attack.answers == "labels":
        return limit
    labels = [step.above for step in ladder if step.tier == TIERS[-1]]
    return math.ceil(labels[0] * limit) if labels else limit


def _records(questions: int | None, attack: AttackCost, about: int) -> int | None:
    """About how many records so many questions carry an attack out; 1 where it is cut short."""
    if questions is None:
        return None
    rest = questions - attack.once
    return 0 if rest < attack.least else max(1, rest // about)
