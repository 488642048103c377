"""A policy in sentences: what it grants to whom, which attacks it leaves possible, and what in it is dangerous."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from urllib.parse import urlsplit

import sqlalchemy as sa

from memberwise.gateway.bound_words import (
    Released,
    as_questions,
    as_released,
    bound_dangers,
    explain_bound,
    mechanism_in,
)
from memberwise.gateway.bounded import Mechanism
from memberwise.gateway.costs import AttackCost, Verdict, attack_costs, judge
from memberwise.gateway.policy import Plan, Policy, ServedModel, Step
from memberwise.gateway.signing import code_files
from memberwise.study.entrypoint import is_entrypoint
from memberwise.types.parts import Plain

__all__ = ["AttackCost", "Verdict", "as_plain", "attack_costs", "explain", "find_dangers", "gives_labels", "judge"]

TIER_WORDS = {"vector": "whole vectors", "top-3": "the three largest entries, rounded", "label": "labels alone"}


def explain(policy: Policy, attacks: Sequence[AttackCost], released: Released | None = None) -> list[str]:
    """What a policy grants, what it bounds, and what it leaves of attacks, a sentence or two each.

    Args:
        attacks: of ``attack_costs``. released: what the folder of the model says, where there is one.

    Raises:
        StudyError: an output defence is not known.
    """
    document, policy = policy, as_released(policy, released)
    labels = gives_labels(policy)
    mechanism = mechanism_in(policy, None if released is None else released.worlds)
    return [
        _model(document, policy),
        _access(policy),
        *(_plan(name, plan, labels) for name, plan in sorted(policy.plans.items())),
        _neighbourhood(policy),
        _total(policy, labels, mechanism),
        *([] if mechanism is None else explain_bound(policy, mechanism)),
        *_attacks(as_questions(policy, mechanism), attacks, labels),
    ]


def gives_labels(policy: Policy) -> bool:
    """Whether the output defences leave nothing but labels.

    Code of one's own is not run for this: a policy that names some is taken to answer scores.

    Raises:
        StudyError: an output defence is not known, or a parameter of it is not.
    """
    from memberwise.defences.output.registry import answered_kind, output_defences

    if code_files(policy):
        for one in policy.answer:
            if not is_entrypoint(one.name):
                output_defences([one])
        return False
    return bool(policy.answer) and answered_kind(policy.answer) == "labels"


def as_plain(policy: Policy, attacks: Sequence[AttackCost], released: Released | None = None) -> list[Plain]:
    """What a policy leaves of each attack under each plan, as plain values."""
    policy = as_released(policy, released)
    labels = gives_labels(policy)
    policy = as_questions(policy, mechanism_in(policy))
    return [
        {"plan": name, **asdict(one.attack), **{key: value for key, value in asdict(one).items() if key != "attack"}}
        for name in sorted(policy.plans)
        for one in judge(policy, attacks, name, labels)
    ]


def find_dangers(policy: Policy, released: Released | None = None) -> list[str]:
    """Choices that an operator should know of, most dangerous first."""
    released_policy = as_released(policy, released)
    loose = _loose(as_questions(released_policy, mechanism_in(released_policy)))
    return [*bound_dangers(released_policy, released), *_open(policy), *loose, *_exposed(policy)]


def _model(document: Policy, policy: Policy) -> str:
    source = "a server behind it" if policy.upstream is not None else "a model of its own"
    if _is_as_released(document):
        named = f": {_listed(one.name for one in policy.answer)}" if policy.answer else ""
        return f"The gateway answers for {source}, through the output defences with which it was released{named}."
    if not policy.answer:
        return f"The gateway answers for {source}, through no output defence."
    return f"The gateway answers for {source}, through {_listed(one.name for one in policy.answer)}, in this order."


def _access(policy: Policy) -> str:
    access = policy.access
    ways = ["a key (memberwise keys new)"]
    if access.jwt is not None:
        ways.append(f"a token of {access.jwt.issuer}")
    anybody = " Anybody may ask without one: all unnamed clients share one budget." if access.anonymous else ""
    return f"Clients come with {' or '.join(ways)}.{anybody}"


def _plan(name: str, plan: Plan, labels: bool) -> str:
    count = "as many questions as it likes" if plan.questions is None else f"{plan.questions:,} questions"
    nats = "" if plan.nats is None else f", of {plan.nats:g} nats together"
    nats += "" if plan.epsilon is None else f", of epsilon {plan.epsilon:g} together"
    rates = f", at most {_listed(plan.rates)}" if plan.rates else ", at any rate"
    answers = _ladder(plan.ladder, labels)
    return (
        f"Plan {name}: each client has {count} in its lifetime{nats}{rates}; answers are {answers}. "
        "Asking about the same record again costs nothing and is answered alike."
    )


def _neighbourhood(policy: Policy) -> str:
    near = policy.budget.neighbourhood
    if near.questions is None:
        return "Near copies of a record may be asked about without limit."
    return (
        f"All clients together may ask {near.questions:,} distinct questions within one neighbourhood of a record "
        f"(steps of {near.step:g}, {near.tables} tables). A search that moves away from the record meets several."
    )


def _total(policy: Policy, labels: bool, mechanism: Mechanism | None) -> str:
    budget = policy.budget
    if budget.total is None and budget.total_nats is None and budget.total_epsilon is None:
        if mechanism is None:
            return "All clients together have no limit."
        return (
            f"All clients together have {mechanism.questions:,} questions, by the budget with which the ensemble was "
            f"released; answers are {_ladder(budget.ladder, labels)}."
        )
    limits = [] if budget.total is None else [f"{budget.total:,} distinct records"]
    limits += [] if budget.total_nats is None else [f"{budget.total_nats:g} nats"]
    limits += [] if budget.total_epsilon is None else [f"epsilon {budget.total_epsilon:g} at delta {budget.delta:g}"]
    return f"All clients together may ask about {_listed(limits)}; answers are {_ladder(budget.ladder, labels)}."


def _attacks(policy: Policy, attacks: Sequence[AttackCost], labels: bool) -> Iterable[str]:
    for name in sorted(policy.plans):
        verdicts = judge(policy, attacks, name, labels)
        label = f"Under plan {name}: " if len(policy.plans) > 1 else ""
        single = [one for one in verdicts if one.attack.questions == 1 and one.state != "stopped"]
        for reach in dict.fromkeys(one.records for one in single):
            names = [one.attack.name for one in single if one.records == reach]
            yield (
                f"{label}NOT stopped by any budget: {_listed(names)}. One question about a record is enough, so one "
                f"client can do it to {_records(reach)}; what it finds out is for the output defences to hold back, "
                "which an audit measures."
            )
        for one in verdicts:
            if one not in single and one.state != "stopped":
                yield f"{label}{_one(one)}"
        for reason, names in _grouped(one for one in verdicts if one.state == "stopped").items():
            yield f"{label}Stopped: {_listed(names)}. {reason}"


def _one(verdict: Verdict) -> str:
    attack = verdict.attack
    kind = {"possible": "NOT stopped", "weaker": "Weakened, not stopped"}[verdict.state]
    questions = f"{attack.questions:,} questions about a record"
    once = f" and {attack.once:,} more" if attack.once else ""
    return " ".join(
        [f"{kind}: {attack.name} ({questions}{once}), by one client on {_records(verdict.records)}.", *verdict.reasons]
    )


def _grouped(verdicts: Iterable[Verdict]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for one in verdicts:
        shared = one.everyone is None or one.everyone > 0
        more = " Clients who share what they learn are not stopped by it." if shared else ""
        groups.setdefault(" ".join(one.reasons) + more, []).append(one.attack.name)
    return groups


def _open(policy: Policy) -> Iterable[str]:
    if policy.access.anonymous and policy.budget.total is None:
        yield "access.anonymous without budget.total: anybody may ask, and nothing limits them all together."
    if not policy.answer and not _is_as_released(policy) and not _only_labels(policy):
        yield "No output defence: what score attacks find out is what the model itself tells."
    for place, one in enumerate(policy.answer):
        if getattr(one, "keyed", None) is False:
            yield (
                f"answer[{place}] ({one.name}) draws fresh noise (keyed = false): near copies of a record have "
                "independent noise, which averages out."
            )
    for file in code_files(policy):
        yield f"{file} is code of your own that the gateway runs: sign the policy, which covers it."
    if policy.store.url is not None and _has_password(policy.store.url):
        yield "store.url holds a password: put the address into an environment variable (store.url_env)."


def _loose(policy: Policy) -> Iterable[str]:
    budget = policy.budget
    if budget.neighbourhood.questions is None:
        yield "budget.neighbourhood has no limit: a label-only search goes on as long as a client's budget lasts."
    if budget.total is None and not policy.access.anonymous:
        yield "budget.total is not set: clients who share what they learn have as many questions as there are clients."
    for name, plan in sorted(policy.plans.items()):
        if plan.questions is None:
            yield f"plans.{name}.questions is not set: such a client asks without end."
        if not plan.rates:
            yield f"plans.{name}.rates is empty: such a client asks as fast as it can."
    if all(len(ladder) == 1 for ladder in _ladders(policy)) and not _only_labels(policy):
        yield "No ladder makes answers coarser as a budget goes: the last answer tells as much as the first."


def _exposed(policy: Policy) -> Iterable[str]:
    server = policy.server
    if not _is_loopback(server.host) and server.certificate is None and not server.trusted_proxies:
        yield f"server.host = {server.host} without TLS or a trusted proxy: keys and answers travel in the clear."
    if policy.upstream is not None and _is_clear(policy.upstream.url):
        yield "upstream.url is http to another machine: records and raw answers travel in the clear."
    if policy.access.jwt is not None and _is_clear(policy.access.jwt.jwks):
        yield "access.jwt.jwks is http: whoever answers it decides who may ask."


def _is_as_released(policy: Policy) -> bool:
    """The document leaves out ``answer``: a model from a run's folder brings its own."""
    file = policy.upstream is None and (policy.model or ServedModel()).file
    return "answer" not in policy.model_fields_set and bool(file) and not str(file).endswith((".onnx", ".skops"))


def _ladders(policy: Policy) -> list[tuple[Step, ...]]:
    return [policy.budget.ladder, *(plan.ladder for plan in policy.plans.values())]


def _only_labels(policy: Policy) -> bool:
    plans = all(plan.ladder[0].tier == "label" for plan in policy.plans.values())
    return policy.budget.ladder[0].tier == "label" or plans or gives_labels(policy)


def _ladder(ladder: Sequence[Step], labels: bool) -> str:
    if labels:
        return TIER_WORDS["label"]
    first = TIER_WORDS[ladder[0].tier]
    return ", ".join([first, *(f"from {step.above:.4g} of it on {TIER_WORDS[step.tier]}" for step in ladder[1:])])


def _records(count: int | None) -> str:
    return "any number of records" if count is None else f"{count:,} record{'' if count == 1 else 's'}"


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _has_password(url: str) -> bool:
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return False
    return address.password is not None or "password" in address.query


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _is_clear(url: str) -> bool:
    """Whether what is asked there crosses a network unencrypted."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")
    except ValueError:
        return False
