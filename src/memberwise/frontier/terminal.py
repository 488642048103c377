"""The frontier in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.frontier.figure import strongest
from memberwise.frontier.schema import FrontierResult
from memberwise.frontier.words import (
    MARKS,
    MARKS_EXPLAINED,
    any_bounded,
    bounded_words,
    lead,
    other_games,
    people_words,
)
from memberwise.report.formats import DASH, Interval, number, percent, plain, rate

BESIDE = {"lower": "less", "higher": "more", "not told apart": "as much", "mixed": "mixed"}


def print_frontier(facts: FrontierResult, console: Console) -> None:
    """All points, the recommendation, the warnings."""
    rows = facts.points
    promises, bounded = any(row.epsilon is not None for row in rows), any_bounded(facts)
    canaries = any(row.canaries for row in rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("point, by", overflow="fold", min_width=14)
    names = ["test acc.", "AUC", f"TPR@{rate(facts.fpr)}", "att. acc.", "tells", "gap", "cost"]
    names += ["canaries@0"] * canaries + ["epsilon,\ndelta"] * promises + ["bounded"] * bounded
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for place, row in enumerate(rows):
        mark = " *" if place == facts.recommended else ""
        cells = [
            _interval(row.test_accuracy),
            _interval(row.auc, number_only=True),
            "\n".join([_interval(row.tpr), *([MARKS[row.rate]] if MARKS[row.rate] else [])]),
            _interval(row.attack_accuracy),
            BESIDE[row.beside_undefended.finding] if row.beside_undefended else DASH,
            percent(row.gap.value if row.gap else None),
            DASH if row.cost is None else f"{plain(row.cost)}x",
        ]
        cells += [_interval(row.canaries.tpr_at_zero if row.canaries else None)] * canaries
        if promises:
            none = row.epsilon is None
            cells.append(DASH if none else f"{plain(row.epsilon)},\n{plain(row.delta)}")
        cells += [bounded_words(row)] * bounded
        table.add_row(Text(f"{row.label}{mark}\n{strongest(row, facts.measure).name}"), *(Text(cell) for cell in cells))
    console.print(table)
    console.print(
        Text(
            "AUC, TPR and attack accuracy are each the strongest attack's (below the point: which), with intervals "
            "that hold for all attacks at once; tells: less or more than the undefended model, or as much as far as "
            "can be told; * recommended."
        )
    )
    for sentence in other_games(facts):
        console.print(Text(sentence))
    for mark in dict.fromkeys(row.rate for row in rows if MARKS[row.rate]):
        console.print(Text(f"{MARKS[mark]}: {MARKS_EXPLAINED[mark]}; no choice rests on that TPR."))
    console.print(Text(lead(facts)))
    if said := people_words(rows[facts.recommended or 0], rows[0], facts):
        console.print(Text(said))
    for warning in facts.warnings:
        console.print(Text(f"Warning: {warning.message}"))
    for defence in facts.left_out:
        console.print(Text(f"Left out: {defence.name}: {defence.reason}"))
    for point in facts.failed:
        console.print(Text(f"Failed: {point.label}: {point.reason}"))


def _interval(part: Interval | None, *, number_only: bool = False) -> str:
    """The value and, on a line below, its interval, as percentages or as bare numbers."""
    if part is None:
        return DASH
    value, low, high = (number(end) for end in (part.value, part.low, part.high))
    if number_only and value is not None:
        return f"{value:.3f}" + ("" if low is None or high is None else f"\n{low:.3f}-{high:.3f}")
    inside = "" if low is None or high is None else f"\n{100 * low:.1f}-{100 * high:.1f}"
    return percent(value) + inside
