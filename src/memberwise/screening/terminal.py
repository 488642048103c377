"""The screen in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.report.formats import count, percent, plain, rate, spoken
from memberwise.screening.schema import ScreenResult
from memberwise.screening.trust import Measured, Trust

RANKINGS = {
    "lt-iqr": "by the interquartile range of each record's loss over the training (LT-IQR)",
    "loss": "by the loss at the end, as there is no loss trace",
}


def print_screen(facts: ScreenResult, console: Console) -> None:
    """The first of the ranking, how far it can be trusted, and whether an audit is worth it."""
    ranking = facts.ranking
    looks = f", {len(ranking.epochs)} epochs looked at" if ranking.epochs else ""
    console.print(Text(f"{count(ranking.records)} records, ranked {RANKINGS[ranking.by]}{looks}."))
    if facts.most_exposed:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for name in ("rank", "record", "class", "loss range", "loss"):
            table.add_column(name, justify="left" if name == "class" else "right", overflow="fold")
        for row in facts.most_exposed:
            table.add_row(
                *(Text(cell) for cell in (str(row.rank), str(row.index), row.label)),
                *(Text(plain(value)) for value in (row.loss_range, row.loss)),
            )
        console.print(table)
    console.print(Text(trust_words(facts.trust)))
    signs, words = facts.signs, f"{rate(facts.study['statistics']['confidence'])} interval"
    console.print(
        Text(
            f"Loss attack on this model: AUC {spoken(signs.auc, 'number', words)}; non-members with a loss that all "
            f"but {percent(signs.tail.missed)} of the members are below: {spoken(signs.tail, 'share', words)}."
        )
    )
    worth = "A full audit is worth it" if facts.advice.audit == "yes" else "No sign that an audit would find much"
    console.print(Text(f"{worth}. {facts.advice.reason}"))
    for warning in facts.warnings:
        console.print(Text(f"Warning: {warning.message}"))


def trust_words(trust: tuple[Trust, ...]) -> str:
    """How far such a ranking was right where it was measured."""
    each = [
        f"{one.data} {percent(one.precision.value, 0)} (of all {percent(one.exposed)}), {_correlation(one.correlation)}"
        for one in trust
    ]
    return (
        "How far to trust it: measured on other data, of the 1% ranked first so many had a personal risk above 0.9, "
        f"with the rank correlation of ranking and risk: {'; '.join(each)}. On your data it may be otherwise."
    )


def _correlation(one: Measured) -> str:
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
