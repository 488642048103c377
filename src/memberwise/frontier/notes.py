"""Warnings of a frontier: where its figures, or the choice it recommends, are not what they seem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memberwise.frontier.choose import Constraint, keeps, leakage

Row = Mapping[str, Any]
Note = tuple[str, str]
RESOLUTION = "unresolvable-rate"


def notes_of(table: Sequence[Row], best: int | None, constraint: Constraint) -> list[Note]:
    """Warnings about the points, the choice among them, and what it rests on."""
    notes = doubts(table)
    if table and table[0]["validation_accuracy"] is None:
        notes.append(
            (
                "chosen-on-test",
                "there are no validation records, so points were chosen by their accuracy on test records, which "
                "flatters the choice: --validation N",
            )
        )
    if best is None:
        notes.append(("no-point", f"no point keeps to the constraint: {constraint.words()}"))
    elif best == 0:
        notes.append(("undefended", "no defence gives less away than none within the constraint"))
    return notes


def notes_of_confirmation(confirmation: dict[str, Any], constraint: Constraint) -> list[Note]:
    """Warnings where the choice does not hold on a fresh seed."""
    plain, again = confirmation["undefended"], confirmation["recommended"]
    if again["label"] == plain["label"]:
        return []
    notes = [(code, f"on a fresh seed: {message}") for code, message in doubts([plain, again]) if code != RESOLUTION]
    found = []
    if not keeps(again, plain, constraint):
        found.append(f"it does not keep to the constraint ({constraint.words()})")
    if leakage(again) >= leakage(plain):
        found.append("it gives away as much as the undefended model")
    if found:
        notes.append(
            ("not-confirmed", f"on a fresh seed {again['label']} is not what it seemed: {' and '.join(found)}")
        )
    return notes


def doubts(rows: Sequence[Row]) -> list[Note]:
    """Warnings of rows whose attack may have failed where the model still leaks, or which cannot be compared."""
    notes = []
    for row in rows:
        if not row["same_attack"]:
            notes.append(
                (
                    "headline-differs",
                    f"{row['label']}: {rows[0]['headline']} could not be run on its answers, only {row['headline']}: "
                    "its TPR cannot be compared, and it is not recommended; audit it with label-only-augment or -noise",
                )
            )
        headline, gap = row["attack_accuracy"] or {}, row.get("gap") or {}
        known = headline.get("high") is not None and gap.get("value") is not None
        if known and row["place"] != "none" and headline["high"] < gap["value"]:
            notes.append(
                (
                    "attack-below-gap",
                    f"{row['label']}: the headline attack's accuracy ({headline['value']:.3f}) lies below the gap "
                    f"attack's ({gap['value']:.3f}), which needs nothing but labels: this defence broke the attack, "
                    "not the leak",
                )
            )
    if any((row["tpr"] or {}).get("resolvable") == "no" for row in rows):
        notes.append(
            (
                RESOLUTION,
                "there are too few non-members to resolve the false-positive rate at which points are compared: their "
                "order is largely chance; more --nonmembers, or --max-tpr at a larger rate",
            )
        )
    return notes
