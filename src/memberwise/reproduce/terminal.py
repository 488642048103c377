"""A claim in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.reproduce.claim import Claim, Row
from memberwise.reproduce.text import circumstances, ours_cell, published_cell, sources, summary


def print_claim(claim: Claim, console: Console) -> None:
    """Ours beside theirs, the reasons where they differ, what was learnt."""
    console.print(Text(f"{claim.name}: {claim.title}"))
    rows = claim.findings.rows
    reasons = list(dict.fromkeys(row.why for row in rows if row.why))
    console.print(_table(rows, reasons))
    for place, why in enumerate(reasons, start=1):
        console.print(Text(f"({place}) {why}"))
    if claim.substitute:
        console.print(Text(claim.substitute[0].upper() + claim.substitute[1:]))
    for note in claim.findings.notes:
        console.print(Text(f"- {note}"))
    for source in sources(claim):
        console.print(Text(f"Published: {source}"))
    console.print(Text(f"{summary(claim)}. {circumstances(claim)}."))


def _table(rows: Sequence[Row], reasons: list[str]) -> Table:
    """A setting is named where it begins; columns that would be empty are left out, for narrow terminals."""
    published = any(row.published for row in rows)
    verdicts = [_verdict(row, reasons) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", overflow="fold")
    table.add_column("measure", overflow="fold")
    if published:
        table.add_column("published", justify="right")
    table.add_column("ours [95%]", justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    if any(verdicts):
        table.add_column("verdict", overflow="fold")
    before = None
    for row, verdict in zip(rows, verdicts, strict=True):
        cells = ["" if row.setting == before else row.setting, row.measure]
        cells += [published_cell(row)] if published else []
        cells += [ours_cell(row), "—" if row.ours is None else f"{row.ours.n:,}"]
        cells += [verdict] if any(verdicts) else []
        table.add_row(*(Text(text) for text in cells))
        before = row.setting
    return table


def _verdict(row: Row, reasons: list[str]) -> str:
    """Nothing where nothing was published: the column before says so."""
    words = [] if row.verdict == "not published" else [row.verdict]
    return " ".join([*words, f"({reasons.index(row.why) + 1})"] if row.why else words)
