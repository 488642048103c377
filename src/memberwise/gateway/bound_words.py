"""What a policy's budgets bound, in sentences, and what in it is wrong about that. No bound without its game."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memberwise.errors import StudyError
from memberwise.gateway.bounded import Mechanism
from memberwise.gateway.decide import ROUNDING, rho_limit
from memberwise.gateway.policy import Policy, ServedModel
from memberwise.study.entrypoint import is_entrypoint
from memberwise.study.schema import OutputDefenceConfig

if TYPE_CHECKING:
    from memberwise.defences.bounded.spending import Bound

# Of a client's nats, which are no bound on what that client knows.
NATS_OF_ONE = (
    "A client's nats limit what it makes the gateway tell. They bound nothing about this client alone: how sharp an "
    "answer is depends on what all clients were told before. What is bounded is all clients together, who may collude."
)


@dataclass(frozen=True)
class Released:
    """What a released folder says of its model: ``worlds`` models; None: a single one."""

    answer: tuple[OutputDefenceConfig, ...]
    worlds: int | None


def read_released(policy: Policy, folder: Path) -> Released | None:
    """What the folder that a policy serves says of its model; None where there is none that can be read."""
    if policy.upstream is not None:
        return None
    place = folder / (policy.model or ServedModel()).file
    for target in (place, place / "target"):
        try:
            facts = json.loads((target / "metadata.json").read_text("utf-8"))
            answer = tuple(OutputDefenceConfig.model_validate(one) for one in facts["answer"])
            return Released(answer, facts.get("worlds"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return None


def as_released(policy: Policy, released: Released | None) -> Policy:
    """The policy with the output defences with which its model was released, where it names none itself."""
    if released is None or "answer" in policy.model_fields_set:
        return policy
    return policy.model_copy(update={"answer": released.answer})


def mechanism_in(policy: Policy, worlds: int | None = None) -> Mechanism | None:
    """The bounded defence of a policy, as far as its costs go; code of one's own is not run for this.

    Raises:
        StudyError: an output defence is not known, or a parameter of it is not.
    """
    from memberwise.defences.output.bounded import bounded_defence
    from memberwise.defences.output.registry import find_output_defence, output_defences

    for one in policy.answer:
        if not is_entrypoint(one.name) and bounded_defence_named(find_output_defence(one.name)[0]):
            defence = bounded_defence(output_defences([one]))
            return None if defence is None else Mechanism(defence, b"", "probabilities", worlds or 2, b"")
    return None


def bounded_defence_named(kind: type) -> bool:
    """A class of bounded defences."""
    from memberwise.defences.output.bounded import BoundedDefence

    return issubclass(kind, BoundedDefence)


def questions_granted(mechanism: Mechanism, nats: float | None, epsilon: float | None, delta: float) -> int | None:
    """How many questions budgets of nats and epsilon are enough for, at the most that one costs; None: no limit."""
    rho = rho_limit(epsilon, delta) if mechanism.cost_rho else None
    counts = [
        int(limit * (1 + ROUNDING) / cost)
        for limit, cost in ((nats, mechanism.cost_nats), (rho, mechanism.cost_rho))
        if limit is not None and cost
    ]
    return min(counts, default=None)


def questions_in_all(policy: Policy, mechanism: Mechanism) -> int:
    """How many questions all clients together are granted by the defence's own budget and the policy's."""
    budget = policy.budget
    granted = questions_granted(mechanism, budget.total_nats, budget.total_epsilon, budget.delta)
    return mechanism.questions if granted is None else min(granted, mechanism.questions)


def as_questions(policy: Policy, mechanism: Mechanism | None) -> Policy:
    """The policy with its budgets of information as numbers of questions, where these are the smaller ones."""
    if mechanism is None:
        return policy
    delta, plans = policy.budget.delta, {}
    total = _least(policy.budget.total, questions_in_all(policy, mechanism))
    for name, plan in policy.plans.items():
        granted = questions_granted(mechanism, plan.nats, plan.epsilon, delta)
        plans[name] = plan.model_copy(update={"questions": _least(plan.questions, granted, total)})
    return policy.model_copy(update={"plans": plans, "budget": policy.budget.model_copy(update={"total": total})})


def bound_after(mechanism: Mechanism, questions: int) -> Bound:
    """What is bounded after so many questions, at the most that each costs."""
    return bound_of(mechanism, questions, questions * mechanism.cost_nats, questions * mechanism.cost_rho)


def bound_of(mechanism: Mechanism, questions: int, nats: float, rho: float) -> Bound:
    """What is bounded where so much was granted.

    It is by what was granted that answers are bounded. What turned out to be told is less, and depends on the pool and
    on what was seen before the next question was chosen: a sum of that is no guarantee.
    """
    from memberwise.defences.bounded.pac import balanced_success
    from memberwise.defences.bounded.pate import epsilon_of, success_of

    bound = replace(mechanism.defence.bound(mechanism.defence.start(mechanism.worlds)), questions=questions)
    if mechanism.cost_nats:
        return replace(bound, nats=nats, success=balanced_success(nats, bound.share or 0.5))
    return replace(bound, epsilon=epsilon_of(rho, bound.delta or 1e-5), success=success_of(rho))


def explain_bound(policy: Policy, mechanism: Mechanism) -> list[str]:
    """What the answers of a policy bound, when all that it grants is spent."""
    from memberwise.defences.bounded.words import CLIENTS_APART, bound_sentences

    total = questions_in_all(policy, mechanism)
    sentences = [f"When all is spent: {bound_sentences(bound_after(mechanism, total))}"]
    for name, plan in sorted(policy.plans.items()):
        granted = questions_granted(mechanism, plan.nats, plan.epsilon, policy.budget.delta)
        if granted is not None:
            # Of the two a mechanism has one; a budget of the other kind is refused.
            amount, apart = f"{plan.nats} nats are", NATS_OF_ONE
            if plan.nats is None:
                amount, apart = f"epsilon {plan.epsilon} at delta {policy.budget.delta:g} (game ii) is", CLIENTS_APART
            sentences.append(f"Plan {name}: {amount} {granted:,} questions of one client. {apart}")
    return sentences


def bound_dangers(policy: Policy, released: Released | None) -> Iterable[str]:
    """What in a policy keeps its answers from being bounded as it seems to say; the gateway refuses most of it."""
    worlds = None if released is None else released.worlds
    mechanism = mechanism_in(policy, worlds)
    served = policy.model or ServedModel()
    if mechanism is None:
        if worlds is not None:
            yield (
                f"The model is an ensemble of {worlds} and no output defence with a bound answers from it: it answers "
                "as their mean, and nothing is bounded."
            )
    else:
        name = type(mechanism.defence).__name__.lower()
        if len(policy.answer) > 1:
            yield f"{name} does not stand alone in answer: it answers from the ensemble itself. The gateway refuses it."
        if policy.upstream is not None or served.file.endswith((".onnx", ".skops")) or (released and worlds is None):
            yield f"{name} needs the models of an ensemble, and one model is behind it. The gateway refuses it."
    yield from _idle_budgets(policy, mechanism)
    if mechanism is not None:
        counted = as_questions(policy, mechanism)
        for name, plan in sorted(counted.plans.items()):
            if plan.questions == counted.budget.total:
                yield f"plans.{name}: one client can use up, for good, what all clients together are granted."


def _idle_budgets(policy: Policy, mechanism: Mechanism | None) -> Iterable[str]:
    from memberwise.gateway.bounded import check_budgets

    try:
        check_budgets(policy, mechanism)
    except StudyError as error:
        yield f"{error.problem}: the gateway refuses it."
        return
    if mechanism is None:
        return
    budget = policy.budget
    limits = [(f"plans.{name}", plan.nats, plan.epsilon) for name, plan in sorted(policy.plans.items())]
    for name, nats, epsilon in [*limits, ("budget", budget.total_nats, budget.total_epsilon)]:
        if questions_granted(mechanism, nats, epsilon, budget.delta) == 0:
            yield f"{name} grants less than one question may cost: nothing is answered."
    if budget.total_nats is not None and budget.total_nats > mechanism.questions * mechanism.cost_nats * (1 + ROUNDING):
        yield "budget.total_nats is above the budget with which the ensemble was released, which holds."
    rho = rho_limit(budget.total_epsilon, budget.delta) if mechanism.cost_rho else None
    if rho is not None and rho > mechanism.questions * mechanism.cost_rho + mechanism.cost_rho:
        yield "budget.total_epsilon is above the budget with which the ensemble was released, which holds."


def _least(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return max(1, min(known)) if known else None
