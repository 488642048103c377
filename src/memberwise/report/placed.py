"""The figures of a result beside what guessing gives: which lie above it, and which decide nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, nan

from memberwise.assess.figures import AttackFigures
from memberwise.report.formats import Unit, number, plain, rate, spoken
from memberwise.report.schema import AuditResult
from memberwise.statistics import Estimate, TprAtFpr
from memberwise.statistics.guessing import CLEAR_AUC, clear_rate

# A balanced accuracy from which on a leak is worth speaking of.
CLEAR_ACCURACY = 0.55


@dataclass(frozen=True)
class Placed:
    """A figure and what guessing would give in its place.

    Attributes:
        of: whose figure: an attack, "canaries", a part of the records. what: the figure, in words.
        estimate: with its interval. guess: what guessing gives; clear: from where on it is a clear leak.
        fpr: of a true-positive rate. part: it is about a part of the records only.
    """

    of: str
    what: str
    estimate: Estimate
    guess: float
    clear: float = inf
    fpr: float | None = None
    unit: Unit = "share"
    part: bool = False

    @property
    def mark(self) -> str:
        """Whether records resolve it: "yes", "weak" or "no"; only rates may be too small for them."""
        return self.estimate.resolvable if isinstance(self.estimate, TprAtFpr) else "yes"

    @property
    def resolved(self) -> bool:
        """It has a valid interval that rests on enough records."""
        return number(self.estimate.low) is not None and self.mark == "yes"

    @property
    def above(self) -> bool:
        """The whole interval lies above guessing."""
        low = number(self.estimate.low)
        return low is not None and self.mark != "no" and low > self.guess

    @property
    def below(self) -> bool:
        """The whole interval lies below guessing."""
        high = number(self.estimate.high)
        return high is not None and high < self.guess

    @property
    def open(self) -> bool:
        """It decides nothing: it has no valid interval, or one that reaches from guessing to a clear leak."""
        low, high = number(self.estimate.low), number(self.estimate.high)
        if low is None or high is None or self.mark == "no":
            return True
        return low <= self.guess and high >= self.clear

    def __str__(self) -> str:
        figure = "" if number(self.estimate.value) is None else f" {spoken(self.estimate, self.unit)}"
        return f"{self.of}: {self.what}{figure}"


def of_attack(attack: AttackFigures, name: str | None = None) -> list[Placed]:
    """An attack's figures: true-positive rates, then AUC, balanced accuracy and precision; those that it has."""
    of, precision = name or attack.name, attack.precision
    figures = _rates(of, attack.tpr_at_fpr)
    figures += _one(of, "AUC", attack.auc, 0.5, CLEAR_AUC, unit="number")
    figures += _one(of, "balanced accuracy", attack.balanced_accuracy, 0.5, CLEAR_ACCURACY)
    if precision is not None and (judged := precision.n_members + precision.n_nonmembers):
        figures += _one(of, "precision", precision, precision.n_members / judged)
    for row in attack.at_shadow_threshold:
        accused = number(row.realised_fpr.high)
        if accused is not None:
            what = f"TPR at the threshold from shadow models for {rate(row.fpr)} FPR"
            figures += _one(of, what, row.tpr, accused)
    return figures


def of_canaries(result: AuditResult) -> list[Placed]:
    """The figures over all pairs of a canary and a model."""
    part = result.canaries
    if part is None:
        return []
    zero = part.tpr_at_zero
    return [
        *_rates("canaries", part.tpr_at_fpr),
        *_one("canaries", "recognised without any wrong accusation", zero, 1 / (zero.n_nonmembers + 1)),
    ]


def of_the_rest(result: AuditResult) -> list[Placed]:
    """Models in the target's place, single people, parts of the records, and a bound on epsilon."""
    figures: list[Placed] = []
    if (targets := result.targets) is not None:
        means = [TprAtFpr(**vars(row.mean), fpr=row.fpr, resolvable="yes") for row in targets.tpr_at_fpr]
        figures += _rates("models in turn", means)
        figures += _one("models in turn", "AUC", targets.auc.mean, 0.5, CLEAR_AUC, unit="number")
    for one in result.recipe.attacks if result.recipe else ():
        figures += _rates(f"the recipe, by {one.attack}", one.tpr_at_fpr)
        figures += _one(f"the recipe, by {one.attack}", "AUC", one.auc, 0.5, CLEAR_AUC, unit="number")
    for share in result.people.share_above if result.people else ():
        figures += _one("single people", f"share with a risk above {share.auc:g}", share, 0.0)
    for word, parts in (("class", result.records.per_class), ("group", result.records.per_group)):
        for row in parts:
            of, rates = f"{word} {row.name}", [row.tpr] if row.tpr else []
            of_part = [*_rates(of, rates), *_one(of, "AUC", row.auc, 0.5, CLEAR_AUC, unit="number")]
            figures += [replace(one, part=True) for one in of_part]
    value = None if result.epsilon is None else number(result.epsilon.value)
    if value is not None:
        bound = Estimate(nan, value, None, 0, 0, "a bound alone")
        figures.append(Placed("epsilon", f"at least {plain(value)}", bound, 0.0))
    return figures


def everything(result: AuditResult) -> list[Placed]:
    """Every figure of the page that guessing has a level for, the worst case and the family first."""
    family = set((result.family.names if result.family else ()) or (result.headline,))
    attacks = sorted(result.attacks, key=lambda attack: attack.name not in family)
    return [*of_canaries(result), *(one for attack in attacks for one in of_attack(attack)), *of_the_rest(result)]


def _rates(of: str, rows: Iterable[TprAtFpr]) -> list[Placed]:
    return [
        Placed(of, f"TPR at {rate(row.fpr)} FPR", row, row.fpr, clear_rate(row.fpr), row.fpr)
        for row in rows
        if number(row.value) is not None
    ]


def _one(
    of: str, what: str, estimate: Estimate | None, guess: float, clear: float = inf, unit: Unit = "share"
) -> list[Placed]:
    if estimate is None or number(estimate.value) is None:
        return []
    return [Placed(of, what, estimate, guess, clear, unit=unit)]
