"""Two runs side by side: what changed, and what only looks as if it had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from memberwise.report.formats import DASH, Interval, Unit, count, number, percent, points_of, rate, shown
from memberwise.report.schema import AuditResult
from memberwise.statistics import TprAtFpr

# Findings that decide nothing.
UNDECIDED = ("cannot tell apart", "no interval", "not in both")


@dataclass(frozen=True)
class Row:
    """One figure of both runs and what the comparison says."""

    attack: str
    figure: str
    first: str
    second: str
    finding: str


def compare(first: AuditResult, second: AuditResult, names: tuple[str, str] = ("A", "B")) -> Group:
    """Both runs for a terminal: what stands in the way of comparing them, then the table."""
    lines = [Text(f"Note: {note}") for note in notes(first, second)]
    return Group(*lines, table(compared(first, second, names), names))


def compared(first: AuditResult, second: AuditResult, names: tuple[str, str] = ("A", "B")) -> list[Row]:
    """The accuracies, then every attack both runs have (AUC, TPR at every FPR both state), then canaries."""
    rows = []
    for part in ("train", "test"):
        a, b = (getattr(run.target, f"{part}_accuracy") for run in (first, second))
        rows.append(Row("(target)", f"{part} accuracy", percent(a), percent(b), _apart(a, b, names)))
    counts = [run.target.endpoint and run.target.endpoint.questions for run in (first, second)]
    if any(questions is not None for questions in counts):
        rows.append(
            Row("(target)", "questions", count(counts[0]), count(counts[1]), "not in both" if None in counts else "")
        )
    for attack in first.attacks:
        other = second.attack(attack.name)
        if other is None:
            continue
        rows.append(_row(attack.name, "AUC", attack.auc, other.auc, names, "number"))
        rows += _rates(attack.name, attack.tpr_at_fpr, other.tpr_at_fpr, names)
    if first.canaries and second.canaries:
        rows += _rates("(canaries)", first.canaries.tpr_at_fpr, second.canaries.tpr_at_fpr, names)
        rows.append(_row("(canaries)", "TPR@0", first.canaries.tpr_at_zero, second.canaries.tpr_at_zero, names))
    return rows


def _apart(first: float | None, second: float | None, names: tuple[str, str]) -> str:
    """Which of two accuracies is higher, and by how much."""
    if first is None or second is None:
        return "not in both"
    difference = second - first
    word = "higher" if difference > 0 else "lower"
    return f"{names[1]} {points_of(abs(difference))} {word}" if difference else "the same"


def _rates(name: str, first: Iterable[TprAtFpr], second: Iterable[TprAtFpr], names: tuple[str, str]) -> list[Row]:
    """The TPR at every FPR both state."""
    theirs = {row.fpr: row for row in second}
    return [_row(name, f"TPR@{rate(row.fpr)}", row, theirs[row.fpr], names) for row in first if row.fpr in theirs]


def notes(first: AuditResult, second: AuditResult) -> list[str]:
    """What stands in the way of comparing the two runs."""
    differences = []
    if first.data.sha256 != second.data.sha256:
        differences.append("the runs audit different data")
    if first.headline != second.headline:
        differences.append(f"the headline attacks differ: {first.headline} and {second.headline}")
    kinds = [run.canaries and run.canaries.kind for run in (first, second)]
    if kinds[0] != kinds[1]:
        differences.append(f"the canaries differ: {kinds[0] or 'none'} and {kinds[1] or 'none'}")
    names = [{attack.name for attack in run.attacks} for run in (first, second)]
    if only := sorted(names[0] ^ names[1]):
        differences.append(f"in one run only: {', '.join(only)}")
    return differences


def table(rows: list[Row], names: tuple[str, str] = ("A", "B")) -> Table:
    """The rows for a terminal."""
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    for heading in ("attack", "figure", *names, "finding"):
        drawn.add_column(Text(heading), justify="right" if heading in names else "left")
    previous = None
    for row in rows:
        attack = "" if row.attack == previous else row.attack
        style = "" if row.finding in UNDECIDED else "bold"
        drawn.add_row(*(Text(text) for text in (attack, row.figure, row.first, row.second)), Text(row.finding, style))
        previous = row.attack
    return drawn


def _row(
    attack: str,
    figure: str,
    first: Interval | None,
    second: Interval | None,
    names: tuple[str, str],
    unit: Unit = "share",
) -> Row:
    """Intervals that overlap cannot be told apart; a higher figure means that more leaks."""
    a, b = shown(first, unit), shown(second, unit)
    low_a, high_a, low_b, high_b = (
        number(getattr(run, end, None)) for run in (first, second) for end in ("low", "high")
    )
    if a is None or b is None:
        finding = "not in both"
    elif low_a is None or high_a is None or low_b is None or high_b is None:
        finding = "no interval"
    elif low_b > high_a or low_a > high_b:
        finding = f"{names[low_a > high_b]} leaks less"
    else:
        finding = "cannot tell apart"
    return Row(attack, figure, str(a or DASH), str(b or DASH), finding)
