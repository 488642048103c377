"""The frontier in sentences, for page, terminal and warnings alike; none says "less" where the data do not."""

from __future__ import annotations

from collections.abc import Sequence

from memberwise.defences.bounded.words import QUESTION, bounded_in_short, other_game
from memberwise.frontier.choose import utility
from memberwise.frontier.schema import (
    Comparison,
    FrontierResult,
    Measure,
    MeasuredPoint,
    Strongest,
    StrongestRate,
)
from memberwise.report.formats import Interval, number, percent, plain, points_of, rate, spoken

# What a true-positive rate is marked as, and why.
MARKS = {"yes": "", "weak": "weak", "no": "largely chance", "ties": "ties"}
MARKS_EXPLAINED = {
    "weak": "fewer than 10 false positives are expected",
    "no": "too few non-members for any lower bound",
    "ties": "scores of the strongest attack tie at that rate",
}


def measures_words(facts: FrontierResult) -> str:
    """What points are compared by."""
    return "AUC" if facts.measure == "auc" else f"{_measure_words('tpr', facts)} and the AUC"


def _measure_words(measure: Measure, facts: FrontierResult) -> str:
    return "AUC" if measure == "auc" else f"TPR at {rate(facts.fpr)} FPR"


def figure_words(part: Interval | None, measure: str) -> str:
    """A figure alone: "0.842", or "12.3%"."""
    value = number(part.value) if part else None
    return percent(value) if measure != "auc" or value is None else f"{value:.3f}"


def finding_words(comparison: Comparison, confidence: float) -> str:
    """ "lower by 0.089 (95% interval 0.061 to 0.117)", or "not told apart (difference ...)"."""
    measure = comparison.measure
    if comparison.finding == "mixed":
        each = ", ".join(f"{part.finding} by {name.upper()}" for name, part in comparison.each.items())
        return f"neither more nor less ({each})"
    value, low, high = comparison.value, comparison.low, comparison.high
    finding = comparison.finding
    if finding == "lower":
        value, low, high = -value, -high, -low
    shown = [_apart(each, measure, signed=finding == "not told apart") for each in (value, low, high)]
    inside = f"{rate(confidence)} interval {shown[1].removesuffix(' percentage points')} to {shown[2]}"
    return (
        f"not told apart (difference {shown[0]}, {inside})"
        if finding == "not told apart"
        else (f"{finding} by {shown[0]} ({inside})")
    )


def _apart(value: float, measure: str, *, signed: bool) -> str:
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" if measure == "auc" else points_of(value, sign)


def guarantee_words(row: MeasuredPoint) -> str:
    """ "epsilon 9.98, delta 1e-05", or nothing."""
    epsilon = number(row.epsilon)
    return "" if epsilon is None else f"epsilon {plain(epsilon)}, delta {plain(row.delta)}"


def any_bounded(facts: FrontierResult) -> bool:
    """Whether anything is bounded at some point, so that the table says what."""
    return any(row.bound for row in facts.points)


def bounded_words(row: MeasuredPoint) -> str:
    """What is bounded at a point, by how much; and, of game i, what exact attackers achieve there."""
    text = bounded_in_short(row.bound)
    if row.bound is None or not row.bound.measured.game_one:
        return text
    best = max((one.accuracy for one in row.bound.measured.game_one), key=lambda one: one.low or 0.0)
    beyond = (best.high or 0.0) > (row.bound.success or 1.0)
    remark = ", whose interval is wider than the bound leaves room for" if beyond else ""
    return f"{text}; exact attackers in game i, on secrets drawn: {spoken(best, 'share')}{remark}"


def other_games(facts: FrontierResult) -> list[str]:
    """What the bounds of the table do not say: it stands wherever they do."""
    games = sorted({row.bound.game for row in facts.points if row.bound})
    return [f"A bound in game {game} is about {QUESTION[game]}. {other_game(game)}" for game in games]


def lead(facts: FrontierResult) -> str:
    """The recommendation in a few sentences."""
    best, points = facts.recommended, facts.points
    if best is None:
        return f"No point keeps to the constraint ({facts.constraint})."
    if best == 0 and facts.study["defend"]["max_tpr"] is not None:
        return f"The undefended model keeps to the constraint ({facts.constraint}): no defence is needed for it."
    if best == 0:
        return (
            f"No defence within the constraint ({facts.constraint}) is shown to tell less than the undefended "
            "model, so none is recommended."
        )
    row = points[best]
    if row.beside_undefended is None:
        raise ValueError("a recommended defence is compared with the undefended model")
    text = f"{row.label}: {compared(row, points[0], row.beside_undefended, facts)}."
    if row.bound is not None:
        text += f" {row.bound.sentences}"
    elif promised := guarantee_words(row):
        text += f" It promises {promised}."
    if facts.alike:
        text += (
            f" It is not told apart from {listed(facts.alike)}; "
            f"it is recommended among them as the {_why(row, points, facts.alike)}."
        )
    again, doubted = facts.confirmation, " The choice is not confirmed: see the warnings." if unconfirmed(facts) else ""
    if again is None or again.comparison is None:
        return text + doubted
    said = compared(again.recommended, again.undefended, again.comparison, facts)
    return f"{text} On a fresh seed: {said}.{doubted}"


def unconfirmed(facts: FrontierResult) -> bool:
    """Whether the recommended point did not hold on a fresh seed."""
    return any(warning.code == "not-confirmed" for warning in facts.warnings)


def compared(row: MeasuredPoint, plain_row: MeasuredPoint, comparison: Comparison, facts: FrontierResult) -> str:
    """What the strongest attacks achieve on a row and on the undefended model, and both accuracies."""
    measure = comparison.measure
    strongest = [_strongest(one, comparison) for one in (row, plain_row)]
    figures = [f"{figure_words(one, measure)} ({one.name})" for one in strongest]
    confidence = facts.study["statistics"]["confidence"]
    accuracies = [figure_words(one.test_accuracy, "share") for one in (row, plain_row)]
    return (
        f"{_measure_words(measure, facts)} of the strongest attack{basis_words(row, comparison)} "
        f"{figures[0]}, undefended {figures[1]}: "
        f"{finding_words(comparison, confidence)}; test accuracy {accuracies[0]}, undefended {accuracies[1]}"
    )


def _strongest(row: MeasuredPoint, comparison: Comparison) -> Strongest | StrongestRate:
    """The figure that the comparison is about."""
    part = row.recipe if comparison.basis == "recipe" else None
    if part is None:
        return row.tpr if comparison.measure == "tpr" else row.auc
    return part.tpr if comparison.measure == "tpr" and part.tpr is not None else part.auc


def basis_words(row: MeasuredPoint, comparison: Comparison) -> str:
    """Whether ways of training are compared, or two models."""
    if comparison.basis == "model" or row.recipe is None:
        return ""
    return f", over all {row.recipe.models} models in turn,"


def people_words(row: MeasuredPoint, undefended: MeasuredPoint, facts: FrontierResult) -> str:
    """What a point does for single people: a defence may help the mean and not the worst."""
    if not undefended.people:
        return ""
    theirs, words = undefended.people[-1], f"{rate(facts.study['statistics']['confidence'])} interval"
    if not row.people:
        return (
            f"Single people: {spoken(theirs, 'share', words)} of the records have a risk above {theirs.auc:g} "
            f"undefended; of {row.label} it cannot be measured."
        )
    mine = row.people[-1]
    if row.label == undefended.label:
        return f"Single people: {spoken(mine, 'share', words)} of the records have a risk above {mine.auc:g}."
    (low, high), (least, most) = (
        (0.0 if one.low is None else one.low, 1.0 if one.high is None else one.high) for one in (mine, theirs)
    )
    verdict = "fewer" if high < least else "more" if low > most else "not surely fewer"
    return (
        f"Single people: {spoken(mine, 'share', words)} of the records have a risk above {mine.auc:g} with "
        f"{row.label}, {spoken(theirs, 'share', words)} undefended: {verdict}."
    )


def listed(labels: Sequence[str]) -> str:
    """The names, at most six of them."""
    more = f" and {len(labels) - 6} more" if len(labels) > 6 else ""
    return ", ".join(labels[:6]) + more


def _why(row: MeasuredPoint, points: Sequence[MeasuredPoint], alike: Sequence[str]) -> str:
    accuracies = [utility(point) for point in points if point.label in alike]
    records = f"on {'validation' if row.validation_accuracy else 'test'} records"
    if all(utility(row) > accuracy for accuracy in accuracies):
        return f"most accurate {records}"
    return f"simplest of the most accurate {records}"
