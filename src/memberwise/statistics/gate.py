"""The gate: rules such as "tpr@0.01>0.05" under which an audit fails, and the verdict on them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf, isclose
from typing import Any

from memberwise.errors import StudyError
from memberwise.statistics.epsilon import DESCRIPTIVE

GRAMMAR = (
    "[ATTACK:]METRIC>LIMIT or [ATTACK:]METRIC>=LIMIT, METRIC one of tpr@FPR, auc, balanced_accuracy, advantage, "
    'precision, recall, or epsilon (of no attack); for example "tpr@0.01>0.05" or "lira-online:auc>0.6"'
)

# what each metric can be, and what it is in words
_METRICS: dict[str, tuple[float, float, str]] = {
    "tpr": (0, 1, "the share of members found at a false-positive rate of {fpr:g}"),
    "auc": (0, 1, "the area under the ROC curve (0.5 is guessing, 1 is certainty)"),
    "balanced_accuracy": (0, 1, "the balanced accuracy (0.5 is guessing, 1 is certainty)"),
    "advantage": (-1, 1, "the advantage over guessing (0 is guessing, 1 is certainty)"),
    "precision": (0, 1, "the precision (the share of members among the records called members)"),
    "recall": (0, 1, "the recall (the share of members called members)"),
    "epsilon": (0, inf, "the lower bound on epsilon"),
}

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(
    rf"(?:(?P<attack>[\w.-]+)\s*:)?\s*(?P<metric>[a-z_]+)\s*(?:@\s*(?P<fpr>{_NUMBER}))?\s*"
    rf"(?P<operator>>=|>)\s*(?P<limit>{_NUMBER})"
)


@dataclass(frozen=True)
class GateRule:
    """The audit fails when the metric is above (or, with >=, at or above) the limit.

    Attributes:
        attack: whose figure; None means the headline attack.
        metric: tpr, auc, balanced_accuracy, advantage, precision, recall or epsilon.
        fpr: the false-positive rate of tpr, else None.
        operator: ">" or ">=".
        limit: within what the metric can be.
        text: the rule as written.
    """

    attack: str | None
    metric: str
    fpr: float | None
    operator: str
    limit: float
    text: str

    def broken_by(self, figure: float) -> bool:
        return figure > self.limit if self.operator == ">" else figure >= self.limit


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        gate: the rules as written, or None without any.
        passed: False: the data show that a rule is broken; True: they show that all are kept; None: they cannot tell.
        reason: in sentences, with the figures.
    """

    gate: str | None
    passed: bool | None
    reason: str

    @property
    def exit_code(self) -> int:
        """0 passed or no gate, 1 failed, 3 inconclusive."""
        if self.gate is None or self.passed:
            return 0
        return 1 if self.passed is False else 3

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def parse_rule(text: str) -> GateRule:
    """Read ``[ATTACK:]METRIC[@FPR]>LIMIT``; spaces are allowed.

    Raises:
        StudyError: the rule is malformed, or its limit cannot be reached.
    """
    match = _RULE.fullmatch(text.strip())
    if match is None:
        raise _malformed(text, "this gate rule cannot be read")
    metric, fpr, limit = match["metric"], match["fpr"], float(match["limit"])
    if metric not in _METRICS:
        raise _malformed(text, f"a gate rule names an unknown metric, {metric}")
    if (metric == "tpr") != (fpr is not None):
        needs = "needs a false-positive rate: tpr@FPR" if metric == "tpr" else "takes no @: only tpr has one"
        raise _malformed(text, f"the metric {metric} of a gate rule {needs}")
    if metric == "epsilon" and match["attack"]:
        raise _malformed(text, f"epsilon is a figure of the audit, not of {match['attack']} alone")
    if fpr is not None and not 0.0 < float(fpr) < 1.0:
        raise _malformed(text, f"the false-positive rate of a gate rule, {fpr}, is not in (0, 1)")
    lowest, highest, _ = _METRICS[metric]
    if not lowest <= limit <= highest or (match["operator"] == ">" and limit == highest):
        reach = f"{metric} lies between {lowest:g} and {highest:g}"
        raise _malformed(
            text, f"the limit of a gate rule, {match['limit']}, can never be crossed or always is: {reach}"
        )
    rate = None if fpr is None else float(fpr)
    return GateRule(match["attack"], metric, rate, match["operator"], limit, text.strip())


def judge(
    rules: Sequence[GateRule],
    attacks: Sequence[dict[str, Any]],
    headline: str,
    epsilon: dict[str, Any] | None = None,
) -> Verdict:
    """Judge the rules on intervals: a rule is broken, or kept, only where the whole interval says so.

    Args:
        rules: from :func:`parse_rule`.
        attacks: as ``result.json`` holds them; those that ran.
        headline: the attack, named before the run, which rules without an attack are about.
        epsilon: as ``result.json`` holds it. A lower bound above the limit fails; one below it decides nothing.

    Returns:
        Any broken rule fails the gate; else any undecided one leaves it inconclusive.
    """
    if not rules:
        return Verdict(None, None, "No gate was set, so nothing was judged.")
    by_name = {attack["name"]: attack for attack in attacks}
    judged = [
        _judge_epsilon(rule, epsilon) if rule.metric == "epsilon" else _judge(rule, rule.attack or headline, by_name)
        for rule in rules
    ]
    outcomes = [passed for passed, _ in judged]
    passed = False if False in outcomes else None if None in outcomes else True
    return Verdict("; ".join(rule.text for rule in rules), passed, " ".join(reason for _, reason in judged))


def _judge(rule: GateRule, name: str, attacks: dict[str, dict[str, Any]]) -> tuple[bool | None, str]:
    if name not in attacks:
        return None, f'Rule "{rule.text}" is undecided: the attack {name} gave no figures, it was skipped or not run.'
    estimate = _figure(rule, attacks[name])
    what = f"{name}: {_METRICS[rule.metric][2].format(fpr=rule.fpr)}"
    if estimate is None:
        why = "no threshold was chosen, or nobody was called a member" if rule.fpr is None else "add the rate to --fpr"
        return None, f'Rule "{rule.text}" is undecided: {what} was not computed ({why}).'
    low, high, limit = estimate["low"], estimate["high"], f"the limit of {rule.limit:g}"
    records = f"{estimate['n_members']} members and {estimate['n_nonmembers']} non-members"
    if low is None or high is None:
        bare = f"{what} is {estimate['value']:.4g} on {records}, without an interval ({estimate['method']})"
        return None, f"{bare}. {limit.capitalize()} cannot be judged."
    said = f"{what} is {estimate['value']:.4g}, with an interval from {low:.4g} to {high:.4g} on {records}"
    if rule.fpr is not None and estimate["resolvable"] != "yes":
        needed = ceil(10 / rule.fpr - 1e-9)
        return None, f"{said}. That is undecided: so low a false-positive rate needs at least {needed} non-members."
    if rule.broken_by(low):
        return False, f"{said}. The whole interval lies {_side(rule, above=True)} {limit}: the gate fails."
    if not rule.broken_by(high):
        return True, f"{said}. The whole interval lies {_side(rule, above=False)} {limit}: this rule is kept."
    return None, f"{said}. The interval reaches across {limit}: these records cannot decide, more would narrow it."


def _judge_epsilon(rule: GateRule, epsilon: dict[str, Any] | None) -> tuple[bool | None, str]:
    if epsilon is None or epsilon["basis"] == DESCRIPTIVE:
        return None, f'Rule "{rule.text}" is undecided: this run gave no bound on epsilon that holds.'
    said = f"The lower bound on epsilon is {epsilon['value']:.4g} ({epsilon['basis']})"
    if rule.broken_by(epsilon["value"]):
        return False, f"{said}. It lies {_side(rule, above=True)} the limit of {rule.limit:g}: the gate fails."
    return None, (
        f"{said}. The limit of {rule.limit:g} is not shown to be crossed; no audit can show that epsilon is smaller."
    )


def _figure(rule: GateRule, attack: dict[str, Any]) -> dict[str, Any] | None:
    """The estimate the rule is about, or None where the run has none."""
    if rule.fpr is None:
        figure: dict[str, Any] | None = attack.get(rule.metric)
        return figure
    return next((e for e in attack["tpr_at_fpr"] if isclose(e["fpr"], rule.fpr, rel_tol=1e-9)), None)


def _side(rule: GateRule, *, above: bool) -> str:
    at = (rule.operator == ">=") == above
    return ("at or " if at else "") + ("above" if above else "below")


def _malformed(text: str, problem: str) -> StudyError:
    return StudyError(problem, expected=GRAMMAR, found=repr(text), where="--fail-if or gate.rules")
