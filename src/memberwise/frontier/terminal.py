"""The frontier in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.frontier.page import lead
from memberwise.report.formats import DASH, number, percent, plain, rate


def print_frontier(facts: Mapping[str, Any], console: Console) -> None:
    """All points, the recommendation, the warnings."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point", overflow="fold")
    for name in ("test acc.", f"TPR@{rate(facts['fpr'])}", "attack acc.", "gap", "cost"):
        table.add_column(name, justify="right")
    for place, row in enumerate(facts["points"]):
        mark = " *" if place == facts["recommended"] else ""
        cost = DASH if row["cost"] is None else f"{plain(row['cost'])}x"
        cells = [_interval(row[key]) for key in ("test_accuracy", "tpr", "attack_accuracy")]
        cells[1] = cells[1] if row["same_attack"] else DASH
        table.add_row(Text(row["label"] + mark), *cells, percent(_value(row["gap"])), cost)
    console.print(table)
    console.print(Text(lead(facts)))
    for warning in facts["warnings"]:
        console.print(Text(f"Warning: {warning['message']}"))
    for defence in facts["left_out"]:
        console.print(Text(f"Left out: {defence['name']}: {defence['reason']}"))
    for point in facts["failed"]:
        console.print(Text(f"Failed: {point['label']}: {point['reason']}"))


def _value(part: Mapping[str, Any] | None) -> float | None:
    return number(part["value"]) if part else None


def _interval(part: Mapping[str, Any] | None) -> str:
    if not part:
        return DASH
    low, high = number(part["low"]), number(part["high"])
    inside = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return percent(number(part["value"])) + inside
