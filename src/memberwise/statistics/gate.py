"""Rules such as "tpr@0.01>0.05" under which an audit fails: their grammar, and which limits make sense."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from memberwise.errors import StudyError
from memberwise.statistics.guessing import guessing_level
from memberwise.types.parts import LEFT_OUT, Plain, to_plain

GRAMMAR = (
    "[ATTACK:]METRIC>LIMIT or [ATTACK:]METRIC>=LIMIT, METRIC one of tpr@FPR, auc, balanced_accuracy, advantage, "
    "precision, recall; or epsilon, exposed(0.9), stored-records (of no attack); recipe:tpr@FPR and recipe:auc are "
    'over all models in turn; for example "tpr@0.01>0.05", "lira-online:auc>0.6", "recipe:auc>0.6", '
    '"exposed(0.9)>0.01" or "stored-records>0"'
)
# In an attack's place: the family's figures over all shadow models in turn.
RECIPE = "recipe"
OF_RECIPE = ("tpr", "auc")
# Levels of personal risk of which the share of records above is known.
LEVELS = (0.6, 0.7, 0.8, 0.9)

# what each metric can be, and what it is in words
_METRICS: dict[str, tuple[float, float, str]] = {
    "tpr": (0, 1, "the share of members found at a false-positive rate of {fpr}"),
    "auc": (0, 1, "the area under the ROC curve (0.5 is guessing, 1 is certainty)"),
    "balanced_accuracy": (0, 1, "the balanced accuracy (0.5 is guessing, 1 is certainty)"),
    "advantage": (-1, 1, "the advantage over guessing (0 is guessing, 1 is certainty)"),
    "precision": (0, 1, "the precision (the share of members among the records called members)"),
    "recall": (0, 1, "the recall (the share of members called members)"),
    "epsilon": (0, inf, "the lower bound on epsilon"),
    "stored-records": (0, inf, "the number of training records that lie in the model itself"),
    "exposed": (0, 1, "the share of records with a personal risk (AUC) above {level:g}"),
}
STORED = "stored-records"
_SHARES = ("tpr", "balanced_accuracy", "precision", "recall", "exposed")
OF_NO_ATTACK = ("epsilon", "exposed", STORED)

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(
    rf"(?:(?P<attack>[\w.-]+)\s*:)?\s*(?P<metric>[a-z_]+(?:-[a-z]+)*)\s*(?:\(\s*(?P<level>{_NUMBER})\s*\))?\s*"
    rf"(?:@\s*(?P<fpr>{_NUMBER}))?\s*"
    rf"(?P<operator>>=|>)\s*(?P<limit>{_NUMBER})"
)
_TELLS_NOTHING = "a model that tells nothing about its records would break it, so no audit could pass"


@dataclass(frozen=True)
class GateRule:
    """The audit fails when the metric is above (or, with >=, at or above) the limit.

    Attributes:
        attack: whose figure; None means every attack of the family.
        metric: tpr, auc, balanced_accuracy, advantage, precision, recall, epsilon, exposed or stored-records.
        fpr: the false-positive rate of tpr, else None.
        operator: ">" or ">=".
        limit: within what the metric can be, and above what guessing gives.
        text: the rule as written.
        level: the personal risk of exposed, else None.
    """

    attack: str | None
    metric: str
    fpr: float | None
    operator: str
    limit: float
    text: str
    level: float | None = None

    def broken_by(self, figure: float) -> bool:
        return figure > self.limit if self.operator == ">" else figure >= self.limit

    @property
    def what(self) -> str:
        """The metric in words."""
        fpr = None if self.fpr is None else f"{100 * self.fpr:.6g}%"
        words = _METRICS[self.metric][2].format(fpr=fpr, level=self.level)
        return f"{words}, over all models in turn" if self.attack == RECIPE else words

    def said(self, figure: float) -> str:
        """A figure in the metric's unit, per cent where it is a share, in as many digits as tell it from the limit."""
        scale, decimals, unit = (100, 1, "%") if self.metric in _SHARES else (1, 3, "")
        digits = range(decimals + (self.limit < 0.01), 9)
        texts = [f"{scale * figure:.{count}f}{unit}" for count in digits]
        limits = [f"{scale * self.limit:.{count}f}{unit}" for count in digits]
        apart = [text for text, limit in zip(texts, limits, strict=True) if text != limit]
        return texts[0] if figure == self.limit or not apart else apart[0]

    @property
    def limit_said(self) -> str:
        """ "the limit of 5%"."""
        share = self.metric in _SHARES
        return f"the limit of {100 * self.limit if share else self.limit:.6g}{'%' if share else ''}"

    def side(self, *, above: bool) -> str:
        """How a figure lies that breaks the rule (``above``) or keeps it: "above", "at or below", ..."""
        at = (self.operator == ">=") == above
        return ("at or " if at else "") + ("above" if above else "below")


@dataclass(frozen=True, kw_only=True)
class BrokenBy:
    """A figure above a rule's limit.

    Attributes:
        metric, fpr, level, limit: of the rule. attack: whose figure; None for exposed, and for epsilon, which has a
            lower bound alone.
        low, high: one-sided bounds at ``low_error`` and ``high_error``.
        outcome: False, the rule is broken.
    """

    metric: str
    fpr: float | None
    limit: float
    attack: str | None
    value: float
    low: float | None
    high: float | None
    low_error: float | None = field(default=None, metadata=LEFT_OUT)
    high_error: float | None = field(default=None, metadata=LEFT_OUT)
    n_members: int | None = field(default=None, metadata=LEFT_OUT)
    n_nonmembers: int | None = field(default=None, metadata=LEFT_OUT)
    outcome: bool = False
    level: float | None = field(default=None, metadata=LEFT_OUT)


@dataclass(frozen=True)
class RuleOutcome:
    """One rule, whether it is kept (None: undecided), why, and the figures that broke it."""

    rule: str
    passed: bool | None
    reason: str
    broken_by: tuple[BrokenBy, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        gate: the rules as written, or None without any.
        passed: False: the data show that a rule is broken; True: they show that all are kept; None: they cannot tell.
        reason: in sentences, with the figures.
        rules: one a rule.
        withheld: codes of the warnings for whose sake nothing passes here.
    """

    gate: str | None
    passed: bool | None
    reason: str
    rules: tuple[RuleOutcome, ...] = ()
    withheld: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 passed or no gate, 1 failed, 3 inconclusive."""
        if self.gate is None or self.passed:
            return 0
        return 1 if self.passed is False else 3

    def to_dict(self) -> Plain:
        return to_plain(self)


def parse_rule(text: str) -> GateRule:
    """Read ``[ATTACK:]METRIC[@FPR]>LIMIT``; spaces are allowed.

    Raises:
        StudyError: the rule is malformed, its limit cannot be reached, or guessing reaches it.
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
    if metric in OF_NO_ATTACK and match["attack"]:
        raise _malformed(text, f"{metric} is a figure of the audit, not of {match['attack']} alone")
    if match["attack"] == RECIPE and metric not in OF_RECIPE:
        raise _malformed(text, f"of the recipe there is no {metric}, only {' and '.join(OF_RECIPE)}")
    if (metric == "exposed") != (match["level"] is not None):
        needs = "needs a personal risk: exposed(0.9)" if metric == "exposed" else "takes no (...): only exposed has one"
        raise _malformed(text, f"the metric {metric} of a gate rule {needs}")
    if match["level"] is not None and float(match["level"]) not in LEVELS:
        raise _malformed(
            text, f"the personal risk of a gate rule, {match['level']}, is none of {', '.join(map(str, LEVELS))}"
        )
    if fpr is not None and not 0.0 < float(fpr) < 1.0:
        raise _malformed(text, f"the false-positive rate of a gate rule, {fpr}, is not in (0, 1)")
    lowest, highest, _ = _METRICS[metric]
    if not lowest <= limit <= highest or (match["operator"] == ">" and limit == highest):
        reach = f"{metric} lies between {lowest:g} and {highest:g}"
        raise _malformed(
            text, f"the limit of a gate rule, {match['limit']}, can never be crossed or always is: {reach}"
        )
    at = None if fpr is None else float(fpr)
    level = None if match["level"] is None else float(match["level"])
    rule = GateRule(match["attack"], metric, at, match["operator"], limit, text.strip(), level)
    _refuse_guessing(rule)
    return rule


def check_precision(rules: Sequence[GateRule], n_members: int, n_nonmembers: int) -> None:
    """Refuse limits on precision that calling everybody a member reaches.

    Args:
        n_members, n_nonmembers: of the audited records, on which precision depends.

    Raises:
        StudyError: a limit is at or below the members' share.
    """
    share = n_members / (n_members + n_nonmembers)
    for rule in rules:
        if rule.metric == "precision" and rule.limit <= share:
            reached = f"{share:.4g}, the share of members among the audited records ({n_members} of "
            _refuse(rule, f"{reached}{n_members + n_nonmembers})", "a limit above that share")


def _refuse_guessing(rule: GateRule) -> None:
    level = guessing_level(rule.metric, rule.fpr)
    if level is not None and rule.limit <= level:
        how = "" if rule.fpr is None else f": it calls {level:g} of the members members, too"
        _refuse(rule, f"{level:g}{how}", f"a limit above {level:g}")
    if rule.metric in OF_NO_ATTACK and rule.operator == ">=" and rule.limit == 0:
        _refuse(rule, "0, which a model that tells nothing has", f"{rule.metric}>0, or a limit above 0")


def _refuse(rule: GateRule, reached: str, expected: str) -> None:
    raise StudyError(
        f"the limit of a gate rule, {rule.limit:g}, is at or below what guessing gives: {_TELLS_NOTHING}",
        expected=expected,
        found=f"{rule.text!r}; guessing gives {reached}",
        where="--fail-if or gate.rules",
        fix="state how much more than guessing is too much, such as tpr@0.01>0.05 or auc>0.6",
    )


def _malformed(text: str, problem: str) -> StudyError:
    return StudyError(problem, expected=GRAMMAR, found=repr(text), where="--fail-if or gate.rules")
