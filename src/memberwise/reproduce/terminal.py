"""A claim in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.reproduce.claim import Claim
from memberwise.reproduce.text import circumstances, ours_cell, published_cell, sources, summary


def print_claim(claim: Claim, console: Console) -> None:
    """Ours beside theirs, the reasons where they differ, what was learnt."""
    console.print(Text(f"{claim.name}: {claim.title}"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("setting", "measure"):
        table.add_column(name, overflow="fold")
    for name in ("published", "ours [95%]", "n"):
        table.add_column(name, justify="right", no_wrap=name != "published")
    table.add_column("verdict", overflow="fold")
    reasons: list[str] = []
    for row in claim.findings.rows:
        mark = ""
        if row.why:
            reasons += [] if row.why in reasons else [row.why]
            mark = f" ({reasons.index(row.why) + 1})"
        n = "—" if row.ours is None else f"{row.ours.n:,}"
        cells = (row.setting, row.measure, published_cell(row), ours_cell(row), n, row.verdict + mark)
        table.add_row(*(Text(text) for text in cells))
    console.print(table)
    for place, why in enumerate(reasons, start=1):
        console.print(Text(f"({place}) {why}"))
    if claim.substitute:
        console.print(Text(claim.substitute[0].upper() + claim.substitute[1:]))
    for note in claim.findings.notes:
        console.print(Text(f"- {note}"))
    for source in sources(claim):
        console.print(Text(f"Published: {source}"))
    console.print(Text(f"{summary(claim)}. {circumstances(claim)}."))
