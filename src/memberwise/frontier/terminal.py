"""The frontier in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.frontier.words import MARKS, MARKS_EXPLAINED, lead
from memberwise.report.formats import DASH, number, percent, plain, rate

BESIDE = {"lower": "less", "higher": "more", "not told apart": "="}


def print_frontier(facts: Mapping[str, Any], console: Console) -> None:
    """All points, the recommendation, the warnings."""
    rows = facts["points"]
    promises = any(row["epsilon"] is not None for row in rows)
    canaries = any(row["canaries"] for row in rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", overflow="fold")
    names = ["test acc.", "AUC", f"TPR@{rate(facts['fpr'])}", "attack acc.", "by", "tells", "gap", "cost"]
    names += ["canaries at 0 FPR"] * canaries + ["epsilon, delta"] * promises
    for name in names:
        table.add_column(name, justify="left" if name == "by" else "right", overflow="fold")
    for place, row in enumerate(rows):
        mark = " *" if place == facts["recommended"] else ""
        cells = [
            _interval(row["test_accuracy"]),
            _interval(row["auc"], number_only=True),
            " ".join([_interval(row["tpr"]), MARKS[row["rate"]]]).strip(),
            _interval(row["attack_accuracy"]),
            row[facts["measure"]]["name"],
            BESIDE[row["beside_undefended"]["finding"]] if place else DASH,
            percent(_value(row["gap"])),
            DASH if row["cost"] is None else f"{plain(row['cost'])}x",
        ]
        cells += [_interval((row["canaries"] or {}).get("tpr_at_zero"))] * canaries
        if promises:
            none = row["epsilon"] is None
            cells.append(DASH if none else f"{plain(row['epsilon'])}, {plain(row['delta'])}")
        table.add_row(Text(row["label"] + mark), *(Text(cell) for cell in cells))
    console.print(table)
    console.print(
        Text(
            "AUC, TPR and attack accuracy are each the strongest attack's (by: which), with intervals that hold for "
            "all attacks at once; tells: less or more than the undefended model, = not told apart; * recommended."
        )
    )
    for mark in dict.fromkeys(row["rate"] for row in rows if MARKS[row["rate"]]):
        console.print(Text(f"{MARKS[mark]}: {MARKS_EXPLAINED[mark]}; no choice rests on that TPR."))
    console.print(Text(lead(facts)))
    for warning in facts["warnings"]:
        console.print(Text(f"Warning: {warning['message']}"))
    for defence in facts["left_out"]:
        console.print(Text(f"Left out: {defence['name']}: {defence['reason']}"))
    for point in facts["failed"]:
        console.print(Text(f"Failed: {point['label']}: {point['reason']}"))


def _value(part: Mapping[str, Any] | None) -> float | None:
    return number(part["value"]) if part else None


def _interval(part: Mapping[str, Any] | None, *, number_only: bool = False) -> str:
    """The value and its interval, as percentages or as bare numbers."""
    if not part:
        return DASH
    value, low, high = (number(part[key]) for key in ("value", "low", "high"))
    if number_only and value is not None:
        return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
    inside = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return percent(value) + inside
