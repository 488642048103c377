"""Warnings of a frontier: where its figures, or the choice it recommends, are not what they seem."""

from __future__ import annotations

from collections.abc import Sequence

from memberwise.errors import Note
from memberwise.frontier.choose import Choice, Constraint, canary_rates, keeps, utility
from memberwise.frontier.schema import Confirmation, MeasuredPoint
from memberwise.frontier.words import MARKS_EXPLAINED, listed
from memberwise.report.formats import percent, rate, spoken

RESOLUTION = "unresolvable-rate"


def notes_of(table: Sequence[MeasuredPoint], choice: Choice, constraint: Constraint) -> list[Note]:
    """Warnings about the points, the choice among them, and what it rests on."""
    notes = [*resolution(table, constraint), *doubts(table), *_canaries(table)]
    if table and table[0].validation_accuracy is None:
        notes.append(
            Note(
                "chosen-on-test",
                "there are no validation records, so points were chosen by their accuracy on test records, which "
                "flatters the choice: --validation N",
            )
        )
    if choice.best is None:
        notes.append(Note("no-point", f"no point keeps to the constraint: {constraint.words()}{_guessing(constraint)}"))
    elif choice.best == 0 and constraint.tpr is None:
        notes.append(Note("undefended", "no defence is shown to give less away than none within the constraint"))
    if choice.alike[1:]:
        names = [table[i].label for i in choice.alike]
        notes.append(Note("not-told-apart", f"what their strongest attacks achieve is not told apart: {listed(names)}"))
    return notes


def _guessing(constraint: Constraint) -> str:
    if constraint.tpr is None or constraint.tpr > constraint.fpr:
        return ""
    return f"; guessing alone has a TPR of {rate(constraint.fpr)} there, so no model can be shown to keep to it"


def notes_of_confirmation(confirmation: Confirmation, constraint: Constraint) -> list[Note]:
    """Warnings where the choice does not hold on a fresh seed."""
    plain, again, comparison = confirmation.undefended, confirmation.recommended, confirmation.comparison
    if again.label == plain.label or comparison is None:
        return []
    notes = [Note(code, f"on a fresh seed: {message}") for code, message in doubts([plain, again])]
    failings = []
    if not keeps(again, plain, constraint):
        measured = _measured(again, plain, constraint)
        failings.append(f"it does not keep to the constraint ({constraint.words()}): {measured}")
    if comparison.finding == "higher":
        failings.append("it gives away more than the undefended model")
    elif comparison.finding != "lower" and constraint.tpr is None:
        failings.append("it is not shown to give away less than the undefended model")
    if failings:
        notes.append(
            Note("not-confirmed", f"on a fresh seed {again.label} is not what it seemed: {'; '.join(failings)}")
        )
    return notes


def _measured(row: MeasuredPoint, plain: MeasuredPoint, constraint: Constraint) -> str:
    """The figure by which a row keeps to the constraint or does not."""
    if constraint.tpr is not None:
        return spoken(row.tpr)
    records = "validation" if row.validation_accuracy else "test"
    return f"{records} accuracy {percent(utility(row))}, undefended {percent(utility(plain))}"


def resolution(rows: Sequence[MeasuredPoint], constraint: Constraint) -> list[Note]:
    """Why points are compared by AUC, and not by the TPR at the constraint's rate."""
    notes: list[Note] = []
    for marks, code in ((Note("no", "weak"), RESOLUTION), (("ties",), "tied-rate")):
        marked = [row for row in rows if row.rate in marks]
        if not marked:
            continue
        why = MARKS_EXPLAINED[marked[0].rate]
        limit = "" if constraint.tpr is None else "; such a TPR keeps to no limit"
        more = "; more --nonmembers resolve it, or --max-tpr at a larger rate" if code == RESOLUTION else ""
        notes.append(
            Note(
                code,
                f"the TPR at a false-positive rate of {rate(constraint.fpr)} is {_largely(marked)} at "
                f"{'every point' if len(marked) == len(rows) else listed([row.label for row in marked])} ({why}): "
                f"points are compared by AUC instead{limit}{more}",
            )
        )
    return notes


def _largely(rows: Sequence[MeasuredPoint]) -> str:
    return {"ties": "decided by ties", "no": "largely chance"}.get(rows[0].rate, "weak")


def doubts(rows: Sequence[MeasuredPoint]) -> list[Note]:
    """Warnings of rows whose attack may have failed where the model still leaks, or was not made."""
    notes: list[Note] = []
    for row in rows:
        headline, gap = row.headline_accuracy, row.gap
        if headline and gap and row.place != "none" and headline.high is not None and headline.high < gap.value:
            notes.append(
                Note(
                    "attack-below-gap",
                    f"{row.label}: the headline attack's accuracy ({percent(headline.value)}) lies below the gap "
                    f"attack's ({percent(gap.value)}), which needs nothing but labels: this defence broke the attack, "
                    "not the leak",
                )
            )
        if not row.by_labels:
            notes.append(
                Note(
                    "no-label-only-attack",
                    f"{row.label}: no label-only attack could be made (the model fails on altered records, say): "
                    "what its labels give away beyond the gap is unknown",
                )
            )
    return notes


def _canaries(rows: Sequence[MeasuredPoint]) -> list[Note]:
    """Where canaries are audited but their figures cannot be part of the choice."""
    if not any(row.canaries for row in rows) or canary_rates(rows):
        return []
    return [
        Note(
            "canaries-unresolved",
            "no rate at which canaries are found is resolved at every point: the choice rests on the attacks on the "
            "canaries of each point's target alone; more canaries, or more shadow models",
        )
    ]
