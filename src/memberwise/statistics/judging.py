"""The verdict on gate rules: whether the data show that a limit is broken, that it is kept, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from memberwise.statistics.bounds import Bounds, Measured, bounds_of
from memberwise.statistics.epsilon import DESCRIPTIVE
from memberwise.statistics.gate import GateRule, Verdict

# From so many expected false positives on a rate is resolved (tpr.py).
_FALSE_POSITIVES = 10


@dataclass(frozen=True)
class Judged:
    """One rule's outcome.

    Attributes:
        passed: as in ``Verdict``.
        reason: with the figures that decide.
        figures: ``{attack, value, low, high, low_error, high_error, outcome}`` of each attack the rule is about.
    """

    rule: GateRule
    passed: bool | None
    reason: str
    figures: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """``{rule, passed, reason, broken_by}``; ``broken_by`` lists the figures above the limit."""
        named = {"metric": self.rule.metric, "fpr": self.rule.fpr, "limit": self.rule.limit}
        broken = [{**named, **figure} for figure in self.figures if figure["outcome"] is False]
        return {"rule": self.rule.text, "passed": self.passed, "reason": self.reason, "broken_by": broken}


def judge(
    rules: Sequence[GateRule],
    attacks: Mapping[str, Measured],
    family: Sequence[str],
    confidence: float = 0.95,
    epsilon: Mapping[str, Any] | None = None,
) -> list[Judged]:
    """Judge each rule.

    A rule without an attack's name is about the whole family. It is *broken* if any attack's one-sided lower bound at
    error (1 - confidence) / k lies above the limit, k attacks in the family: where all are at or below it, that
    happens with probability at most 1 - confidence (Bonferroni; Holm's steps would change no decision about "any").
    It is *kept* only if every attack's one-sided upper bound at error 1 - confidence lies at or below the limit: where
    one is above it, that happens with probability at most 1 - confidence (intersection-union test, Berger 1982).
    A rule with an attack's name is about a family of one. Each rule is judged by itself, at the same confidence.

    Args:
        rules: from :func:`parse_rule`.
        attacks: those that ran, by name.
        family: names of attacks, chosen before the run; those that did not run are left out.
        epsilon: as ``result.json`` holds it. A lower bound above the limit fails; one below it decides nothing.

    Returns:
        The outcome of each rule, in their order.
    """
    judged = []
    for rule in rules:
        if rule.metric == "epsilon":
            judged.append(_judge_epsilon(rule, epsilon))
        else:
            names = [name for name in family if name in attacks] if rule.attack is None else [rule.attack]
            judged.append(_judge(rule, names, attacks, 1.0 - confidence))
    return judged


def verdict_of(judged: Sequence[Judged], withheld: Sequence[str] = ()) -> Verdict:
    """The gate's verdict: any broken rule fails it; else any undecided one leaves it inconclusive.

    Args:
        withheld: codes of the warnings for whose sake rules that would be kept count as undecided.
    """
    if not judged:
        return Verdict(None, None, "No gate was set, so nothing was judged.")
    outcomes = [one.passed for one in judged]
    passed = False if False in outcomes else None if None in outcomes else True
    gate, reason = "; ".join(one.rule.text for one in judged), " ".join(one.reason for one in judged)
    return Verdict(gate, passed, reason, tuple(one.to_dict() for one in judged), tuple(withheld))


def _judge(rule: GateRule, names: Sequence[str], attacks: Mapping[str, Measured], error: float) -> Judged:
    figures: list[dict[str, Any]] = []
    broken: list[str] = []
    open_: list[str] = []
    kept: list[tuple[float, str]] = []
    for name in names:
        bounds = None
        if name in attacks:
            bounds = bounds_of(attacks[name], rule.metric, rule.fpr, low_error=error / len(names), high_error=error)
        outcome, said = _outcome(rule, name, bounds, ran=name in attacks)
        figures.append({"attack": name, **_numbers(bounds), "outcome": outcome})
        if outcome is None:
            open_.append(said)
        elif outcome is False:
            broken.append(said)
        else:
            kept.append((figures[-1]["high"], said))
    if not names:
        open_.append(f'Rule "{rule.text}" is undecided: no attack of the family ran.')
    several = len(names) > 1
    limit = f"the limit of {rule.limit:g}"
    if broken:
        shared = (
            f" (each at an error of {error / len(names):.2g}: shared among {len(names)} attacks)" if several else ""
        )
        reason = f"{'; '.join(broken)}: {rule.side(above=True)} {limit}{shared}, so the gate fails."
        return Judged(rule, False, reason, figures)
    if open_:
        more = f" {len(kept)} of {len(names)} attacks keep it." if kept else ""
        return Judged(rule, None, " ".join(open_) + more, figures)
    every = f"; that is the highest upper bound of {len(names)} attacks ({', '.join(names)})" if several else ""
    reason = f"{max(kept)[1]}: {rule.side(above=False)} {limit}{every}, so this rule is kept."
    return Judged(rule, True, reason, figures)


def _outcome(rule: GateRule, name: str, bounds: Bounds | None, *, ran: bool) -> tuple[bool | None, str]:
    """One attack's outcome, and its figure in words: a part of a sentence where it decides, else a sentence."""
    if not ran:
        return None, f'Rule "{rule.text}" is undecided: the attack {name} gave no figures, it was skipped or not run.'
    what = f"{name}: {rule.what}"
    if bounds is None:
        why = "no threshold was chosen, or nobody was called a member"
        return None, f'Rule "{rule.text}" is undecided: {what} was not computed ({why}).'
    figure = f"{what} is {bounds.value:.4g}"
    records = f"on {bounds.n_members} members and {bounds.n_nonmembers} non-members"
    if bounds.low is None or bounds.high is None:
        bare = f"{figure} {records}, without an interval ({bounds.method})"
        return None, f"{bare}; the limit of {rule.limit:g} cannot be judged."
    if not bounds.resolved and rule.fpr is not None:
        needed = ceil(_FALSE_POSITIVES / rule.fpr - 1e-9)
        low_rate = f"so low a false-positive rate needs at least {needed} non-members"
        return None, f"{figure} {records}. That is undecided: {low_rate}."
    if rule.broken_by(bounds.low):
        return False, f"{figure}, at least {bounds.low:.4g}, {records}"
    if not rule.broken_by(bounds.high):
        return True, f"{figure}, at most {bounds.high:.4g}, {records}"
    reach = f"the limit of {rule.limit:g} lies between its lower bound {bounds.low:.4g} and upper bound"
    return None, f"{figure} {records}: {reach} {bounds.high:.4g}, so these records cannot decide; more would."


def _numbers(bounds: Bounds | None) -> dict[str, Any]:
    names = ("value", "low", "high", "low_error", "high_error", "n_members", "n_nonmembers")
    return {name: None if bounds is None else getattr(bounds, name) for name in names}


def _judge_epsilon(rule: GateRule, epsilon: Mapping[str, Any] | None) -> Judged:
    if epsilon is None or epsilon["basis"] == DESCRIPTIVE:
        return Judged(rule, None, f'Rule "{rule.text}" is undecided: this run gave no bound on epsilon that holds.')
    value = float(epsilon["value"])
    said = f"The lower bound on epsilon is {value:.4g} ({epsilon['basis']})"
    figure = {"attack": None, "value": value, "low": value, "high": None}
    if rule.broken_by(value):
        reason = f"{said}: {rule.side(above=True)} the limit of {rule.limit:g}, so the gate fails."
        return Judged(rule, False, reason, [figure | {"outcome": False}])
    no_proof = "no audit can show that epsilon is smaller"
    reason = f"{said}. The limit of {rule.limit:g} is not shown to be crossed; {no_proof}."
    return Judged(rule, None, reason, [figure | {"outcome": None}])
