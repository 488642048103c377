"""The figures of a result beside what guessing gives: which lie above it, and which decide nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from memberwise.report.formats import Json, Unit, number, plain, rate, spoken
from memberwise.statistics.guessing import CLEAR_AUC, clear_rate

# A balanced accuracy from which on a leak is worth speaking of.
CLEAR_ACCURACY = 0.55


@dataclass(frozen=True)
class Placed:
    """A figure and what guessing would give in its place.

    Attributes:
        of: whose figure: an attack, "canaries", a part of the records. what: the figure, in words.
        estimate: as ``result.json`` holds it. guess: what guessing gives; clear: from where on it is a clear leak.
        fpr: of a true-positive rate. part: it is about a part of the records only.
    """

    of: str
    what: str
    estimate: Json
    guess: float
    clear: float = inf
    fpr: float | None = None
    unit: Unit = "share"
    part: bool = False

    @property
    def resolved(self) -> bool:
        """It has a valid interval that rests on enough records."""
        return number(self.estimate.get("low")) is not None and self.estimate.get("resolvable", "yes") == "yes"

    @property
    def above(self) -> bool:
        """The whole interval lies above guessing."""
        low = number(self.estimate.get("low"))
        return low is not None and self.estimate.get("resolvable", "yes") != "no" and low > self.guess

    @property
    def below(self) -> bool:
        """The whole interval lies below guessing."""
        high = number(self.estimate.get("high"))
        return high is not None and high < self.guess

    @property
    def open(self) -> bool:
        """It decides nothing: it has no valid interval, or one that reaches from guessing to a clear leak."""
        low, high = number(self.estimate.get("low")), number(self.estimate.get("high"))
        if low is None or high is None or self.estimate.get("resolvable", "yes") == "no":
            return True
        return low <= self.guess and high >= self.clear

    def __str__(self) -> str:
        figure = "" if number(self.estimate.get("value")) is None else f" {spoken(self.estimate, self.unit)}"
        return f"{self.of}: {self.what}{figure}"


def of_attack(attack: Json, name: str | None = None) -> list[Placed]:
    """An attack's figures: true-positive rates, then AUC, balanced accuracy and precision; those that it has."""
    of = name or attack["name"]
    found = _rates(of, attack.get("tpr_at_fpr"))
    area, right, precision = (attack.get(key) for key in ("auc", "balanced_accuracy", "precision"))
    found += _one(of, "AUC", area, 0.5, CLEAR_AUC, unit="number")
    found += _one(of, "balanced accuracy", right, 0.5, CLEAR_ACCURACY)
    if precision:
        n1, n0 = number(precision.get("n_members")) or 0, number(precision.get("n_nonmembers")) or 0
        if n1 + n0:
            found += _one(of, "precision", precision, n1 / (n1 + n0))
    for row in attack.get("at_shadow_threshold") or []:
        accused = number(row["realised_fpr"].get("high"))
        if accused is not None:
            what = f"TPR at the threshold from shadow models for {rate(row['fpr'])} FPR"
            found += _one(of, what, row["tpr"], accused)
    return found


def of_canaries(result: Json) -> list[Placed]:
    """The figures over all pairs of a canary and a model."""
    part = result.get("canaries")
    if not part:
        return []
    zero = part.get("tpr_at_zero")
    others = number((zero or {}).get("n_nonmembers")) or 0
    return [
        *_rates("canaries", part["tpr_at_fpr"]),
        *_one("canaries", "recognised without any wrong accusation", zero, 1 / (others + 1)),
    ]


def of_the_rest(result: Json) -> list[Placed]:
    """Models in the target's place, parts of the records, and a bound on epsilon."""
    found: list[Placed] = []
    if targets := result.get("targets"):
        found += _rates("models in turn", [row["mean"] | {"fpr": row["fpr"]} for row in targets["tpr_at_fpr"]])
        found += _one("models in turn", "AUC", targets["auc"]["mean"], 0.5, CLEAR_AUC, unit="number")
    for word, key in (("class", "per_class"), ("group", "per_group")):
        for row in result["records"].get(key) or []:
            of, rates = f"{word} {row['name']}", [row["tpr"]] if row.get("tpr") else []
            parts = [*_rates(of, rates), *_one(of, "AUC", row.get("auc"), 0.5, CLEAR_AUC, unit="number")]
            found += [replace(one, part=True) for one in parts]
    value = number((result.get("epsilon") or {}).get("value"))
    if value is not None:
        found.append(Placed("epsilon", f"at least {plain(value)}", {"value": None, "low": value, "high": None}, 0.0))
    return found


def everything(result: Json) -> list[Placed]:
    """Every figure of the page that guessing has a level for, the worst case and the family first."""
    family = set((result.get("family") or {}).get("names") or [result["headline"]])
    attacks: list[dict[str, Any]] = sorted(result["attacks"], key=lambda attack: attack["name"] not in family)
    return [*of_canaries(result), *(one for attack in attacks for one in of_attack(attack)), *of_the_rest(result)]


def _rates(of: str, rows: Any) -> list[Placed]:
    return [
        Placed(of, f"TPR at {rate(row['fpr'])} FPR", row, row["fpr"], clear_rate(row["fpr"]), row["fpr"])
        for row in rows or []
        if number(row.get("value")) is not None
    ]


def _one(
    of: str, what: str, estimate: Json | None, guess: float, clear: float = inf, unit: Unit = "share"
) -> list[Placed]:
    if estimate is None or number(estimate.get("value")) is None:
        return []
    return [Placed(of, what, estimate, guess, clear, unit=unit)]
