"""The result in plain words, for the HTML report, the terminal, JUnit and the model card alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memberwise.assess.figures import AttackFigures
from memberwise.report.formats import DASH, Shown, count, number, percent, plain, rate, shown
from memberwise.report.schema import AuditResult
from memberwise.statistics import TprAtFpr

MARKS = {"weak": "; few non-members to judge this by", "no": "; too few non-members to judge this by"}
Outcome = Literal["passed", "failed", "inconclusive", "no limit set"]


def leading_rate(attack: AttackFigures | None) -> TprAtFpr | None:
    """The row of ``tpr_at_fpr`` to speak of: the smallest FPR the records resolve, else the best there is."""
    rows = [row for row in (attack.tpr_at_fpr if attack else ()) if number(row.value) is not None]
    for mark in ("yes", "weak"):
        if marked := [row for row in rows if row.resolvable == mark]:
            return min(marked, key=lambda row: row.fpr)
    # Where the records resolve nothing, the largest FPR is the least wrong.
    return max(rows, key=lambda row: row.fpr, default=None)


def interval_words(result: AuditResult) -> str:
    """ "95% interval", or "interval" where the study does not state its confidence."""
    confidence = number((result.study.get("statistics") or {}).get("confidence"))
    return "interval" if confidence is None else f"{rate(confidence)} interval"


def outcome(result: AuditResult) -> Outcome:
    """What the gate says; without a rule there is nothing to pass or fail."""
    passed = result.verdict.passed
    if not result.verdict.gate:
        return "no limit set"
    return "inconclusive" if passed is None else "passed" if passed else "failed"


def gate_sentence(result: AuditResult) -> str:
    """What the stated limit says about it."""
    verdict, state = result.verdict, outcome(result)
    if state == "no limit set":
        return "No limit was set for this audit, so there is nothing to pass or fail."
    lead = {
        "passed": "The stated limit is kept",
        "failed": "The stated limit is exceeded",
        "inconclusive": "These records cannot decide whether the stated limit is kept",
    }[state]
    if state == "inconclusive" and verdict.withheld:
        lead = "No verdict is given on the stated limit"
    reason = str(verdict.reason or "").strip().rstrip(".")
    return f"{lead} ({verdict.gate}){': ' + reason if reason else ''}."


def evaluated(result: AuditResult) -> tuple[int, int] | None:
    """Members and non-members on which the headline's figures rest; None where it gave none."""
    attack = result.attack()
    area = attack.auc if attack else None
    return (area.n_members, area.n_nonmembers) if area and area.n_members and area.n_nonmembers else None


def member_share(result: AuditResult) -> str:
    """The share of members among the records on which the headline's figures rest, or among the audited ones."""
    members, nonmembers = evaluated(result) or (result.data.members, result.data.nonmembers)
    return percent(members / (members + nonmembers)) if members and nonmembers else "an unstated share"


@dataclass(frozen=True)
class KeyFigure:
    """One figure with one line of what it means."""

    label: str
    figure: Shown
    meaning: str


def key_figures(result: AuditResult) -> list[KeyFigure]:
    """The canaries' figure, then the headline attack's; those it does not have are left out."""
    attack = result.attack()
    row = leading_rate(attack)
    figures: list[tuple[str, Shown | None, str]] = []
    if canaries := result.canaries:
        worst = min(canaries.tpr_at_fpr, key=lambda at: at.fpr)
        under = f"over {count(canaries.models)} models, {rate(worst.fpr)} of non-members wrongly accused"
        figures.append(("Canaries recognised", shown(worst), under + MARKS.get(worst.resolvable, "")))
    rated = []
    if row is not None:
        meaning = f"of members recognised when {rate(row.fpr)} of non-members are wrongly accused"
        rated = [(f"TPR at {rate(row.fpr)} FPR", shown(row), meaning + MARKS.get(row.resolvable, ""))]
    # An attack that recognises nobody at so low a rate (it may make one decision only) is described by its AUC.
    described = row is not None and row.value > 0
    figures += [
        *(rated if described else []),
        (
            "AUC",
            shown(attack.auc if attack else None, "number"),
            "chance that a member is ranked above a non-member; 0.5 is guessing, 1 is certain",
        ),
        *([] if described else rated),
        (
            "Balanced accuracy",
            shown(attack.balanced_accuracy if attack else None),
            "of yes-or-no answers right with one fixed threshold; 50% is guessing",
        ),
        (
            "Precision",
            shown(attack.precision if attack else None),
            f"of the records called members are members; {member_share(result)} of those asked about are",
        ),
    ]
    return [KeyFigure(label, figure, meaning) for label, figure, meaning in figures if figure is not None]


def threshold_words(attack: AttackFigures) -> str:
    """Where the attack's threshold was chosen; a dash where it has none."""
    names = {"shadows": "shadow models", "population": "population", "half": "a random half", "fixed": "fixed"}
    chosen = attack.threshold and attack.threshold.chosen_on
    return names.get(chosen, str(chosen)) if chosen else DASH


def temperature_words(result: AuditResult) -> str:
    """Which attacks read p_y at which temperature; empty where none does at one of its own."""
    at: dict[float, list[str]] = {}
    for attack in result.attacks:
        if attack.temperature is not None:
            at.setdefault(attack.temperature, []).append(attack.name)
    return "; ".join(f"temperature {temperature:g}: {', '.join(names)}" for temperature, names in at.items())


def assumptions(result: AuditResult) -> list[str]:
    """What the headline attack's owner must have, one sentence a need."""
    attack, models = result.attack(), result.shadow and result.shadow.count
    how_many = f"{count(models)} models" if models else "models"
    words = {
        "answered label": "sees which class the model answers for a record, and nothing more",
        "scores": "sees the model's scores for a record (defended answers included, as they are served)",
        "probabilities": "sees the model's probabilities for a record",
        "logits": "sees the model's logits for a record",
        "true label": "knows the true label of a record",
        "shadow models (OUT)": f"can train {how_many} like the target, without the record in question",
        "shadow models (IN and OUT)": f"can train {how_many} like the target, with and without the record in question",
        "the records themselves": "has the records' features, the audited ones' and the population's",
        "revealed members and non-members": "was told of some records whether they are members",
        "a model on other data": "has a model of other data of which the members are known",
        "population": "has records of the same kind which no model was trained on",
    }
    assumed = []
    for need in attack.needs if attack else ():
        bare = need.removesuffix(" (full vector)")
        assumed.append(words.get(bare, need) + (", for every class" if bare != need else ""))
    return assumed


def shadow_models(result: AuditResult) -> str:
    """How many shadow models there were, and how many of a cascade."""
    shadow = result.shadow
    if shadow is None:
        return "no shadow models"
    rounds = "" if shadow.cascade is None else f" and {count(shadow.cascade.models)} of a cascade"
    return f"{count(shadow.count)} shadow models{rounds}"


def limits(result: AuditResult) -> list[str]:
    """What the intervals speak about, and what they do not."""
    return [
        "The intervals speak about records: how far the figures could be off had different records been audited on "
        "this one model. They do not speak about retraining: the same recipe trained again may leak more or less.",
        f"{_rest_on(result)} A false-positive rate of which the non-members give fewer than ten expected cases is "
        "marked weak; where they cannot bound it at all it is marked too few, and no interval is valid.",
        "The figures are for the attacks listed here. A stronger attack, or an attacker who knows more, may recognise "
        "more records; a low figure is no proof of privacy.",
        f"Precision depends on how common members are among the records asked about: here {member_share(result)}. "
        "Where they are rarer, more of the accused are innocent than it says.",
    ]


def _rest_on(result: AuditResult) -> str:
    """How many records the intervals rest on, and why these are fewer than the audited ones."""
    data, rested = result.data, evaluated(result)
    audited = f"{count(data.members)} members and {count(data.nonmembers)} non-members"
    if rested is None or rested == (data.members, data.nonmembers):
        return f"They rest on {audited}."
    words = f"They rest on {count(rested[0])} members and {count(rested[1])} non-members"
    unit = (result.study.get("data") or {}).get("unit")
    if unit:
        return (
            f"{words}: one row of each {unit}, drawn at random from those of the {audited} audited, because rows of "
            f"one {unit} are not independent of each other."
        )
    return f"{words} of the {audited} audited: those that the headline attack could score, or was not told about."


def epsilon_sentence(result: AuditResult) -> str:
    """The epsilon figure with its basis, or why there is none."""
    epsilon = result.epsilon
    value = None if epsilon is None else number(epsilon.value)
    if epsilon is None or value is None:
        return "No lower bound on epsilon was measured in this audit."
    head = (
        f"Lower bound on epsilon: {plain(value)} at {percent(epsilon.confidence, 0)} confidence, "
        f"delta {plain(epsilon.delta)} ({epsilon.method}; basis: {epsilon.basis})."
    )
    if "descriptive" in epsilon.basis:
        return head + (
            " It describes the records of this one run, which are not independent trainings: it is no statement about "
            "the training algorithm, and no limit may be set on it."
        )
    return head + " A training algorithm which promises a smaller epsilon than this does not keep its promise."
