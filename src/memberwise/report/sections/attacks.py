"""Every attack that ran, by what its owner needs, and the marks that stand at its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memberwise.assess.figures import AttackFigures
from memberwise.report import sentence
from memberwise.report.formats import number, places
from memberwise.report.schema import AuditResult
from memberwise.report.sections.base import Section, Source
from memberwise.report.sections.parts import breakdowns
from memberwise.statistics import TprAtFpr

# So many rows are shown before the others are asked for.
FIRST = 10
ANSWERS = frozenset({"scores", "probabilities", "logits"})
BASELINE = "gap"


class Attacks(Section):
    """A row an attack: the headline and the baseline, then groups, from the most demanding needs to the least."""

    id, link = "attacks", "Attacks"

    def context(self, source: Source) -> Mapping[str, object]:
        result = source.result
        return {
            "groups": grouped(result.attacks, result.headline),
            "rates": rates(result),
            "decimals": {fpr: places(fpr) for fpr in rates(result)},
            "at_rate": at_rate,
            "at_rates": lambda fpr: [at_rate(attack, fpr) for attack in result.attacks],
            "legend": legend(result),
            "first": FIRST,
            "threshold_words": sentence.threshold_words,
        }


@dataclass(frozen=True)
class Group:
    """Attacks whose owner needs the same."""

    name: str
    attacks: tuple[AttackFigures, ...]


GROUPS = (
    "Headline and baseline",
    "Further knowledge or questions",
    "Shadow models with and without the record (IN and OUT)",
    "Shadow models without the record (OUT)",
    "Answers about the record and about population records",
    "Answers about the record alone",
    "The answered label alone",
)


def needs_group(needs: Sequence[str]) -> str:
    """What an attack's owner needs, in a few words, by its needs as ``result.json`` states them."""
    bare = {need.removesuffix(" (full vector)") for need in needs}
    known = {"answered label", "true label", *ANSWERS, "population"}
    shadows = {"shadow models (OUT)", "shadow models (IN and OUT)"}
    if bare - known - shadows:
        return GROUPS[1]
    if "shadow models (IN and OUT)" in bare:
        return GROUPS[2]
    if "shadow models (OUT)" in bare:
        return GROUPS[3]
    if "population" in bare:
        return GROUPS[4]
    return GROUPS[5] if bare & ANSWERS else GROUPS[6]


def grouped(attacks: Sequence[AttackFigures], headline: str) -> list[Group]:
    """The attacks by what their owners need; within a group the strongest by AUC first."""
    named = {attack.name: needs_group(attack.needs) for attack in attacks}
    named |= {name: GROUPS[0] for name in (headline, BASELINE) if name in named}

    def strength(attack: AttackFigures) -> tuple[bool, float]:
        return attack.name != headline, -(number(attack.auc.value) or 0.0) if attack.auc else 0.0

    groups = [
        Group(group, tuple(sorted((one for one in attacks if named[one.name] == group), key=strength)))
        for group in GROUPS
    ]
    return [group for group in groups if group.attacks]


def at_rate(attack: AttackFigures, fpr: float) -> TprAtFpr | None:
    """The attack's TPR at this rate, None where it states none."""
    return next((row for row in attack.tpr_at_fpr if row.fpr == fpr), None)


def rates(result: AuditResult) -> list[float]:
    """Every false-positive rate some attack states, largest first."""
    return sorted({row.fpr for attack in result.attacks for row in attack.tpr_at_fpr}, reverse=True)


def legend(result: AuditResult) -> list[tuple[str, str]]:
    """The marks that stand in the tables, each with its meaning."""
    meanings = {
        "weak": "fewer than ten wrong accusations are expected at this rate, so the figure is rough",
        "no": "there are too few non-members for any valid interval",
        "optimistic": "the threshold was chosen on the very records it is judged by",
    }
    rows = [row.tpr for table in breakdowns(result) for row in table.rows if row.tpr is not None]
    rows += [row for attack in result.attacks for row in attack.tpr_at_fpr]
    rows += result.canaries.tpr_at_fpr if result.canaries else ()
    used = {str(row.resolvable) for row in rows}
    used |= {"optimistic" for attack in result.attacks if "optimistic" in sentence.threshold_words(attack)}
    meanings["uncalibrated"] = "its scores order records, but are no probabilities of membership; a warning says why"
    used |= {"uncalibrated" for attack in result.attacks if attack.calibrated is False}
    return [("too few" if mark == "no" else mark, text) for mark, text in meanings.items() if mark in used]
