"""A claim in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from memberwise.reproduce.claim import Claim, Row
from memberwise.reproduce.text import (
    circumstances,
    origins,
    ours_cell,
    published_cell,
    reasons_of,
    sources,
    spread_cell,
    summary,
    verdict_cell,
)

# Neither setting nor measure is narrower, however narrow the terminal.
LEAST = 9


def print_claim(claim: Claim, console: Console) -> None:
    """Ours beside theirs, the reasons where they differ, what was learnt."""
    console.print(Text(f"{claim.name}: {claim.title}"))
    rows = claim.findings.rows
    reasons = reasons_of(rows)
    console.print(_table(rows, reasons, console.width))
    for place, why in enumerate(reasons, start=1):
        console.print(Text(f"({place}) {why}"))
    if claim.substitute:
        console.print(Text(claim.substitute[0].upper() + claim.substitute[1:]))
    for condition in claim.broken:
        console.print(Text(f"Invalid: {condition.name}; {condition.told}"))
    for line in origins(claim):
        console.print(Text(line))
    for note in claim.findings.notes:
        console.print(Text(f"- {note}"))
    for source in sources(claim):
        console.print(Text(f"Published: {source}"))
    console.print(Text(f"{summary(claim)}. {circumstances(claim)}."))


def _table(rows: Sequence[Row], reasons: list[str], width: int) -> Table:
    """A setting is named where it begins; columns that would be empty are left out, for narrow terminals."""
    settings = [row.setting for row in rows]
    named = [now if now != before else "" for before, now in pairwise(["", *settings])]
    columns = {
        "setting": named,
        "measure": [row.measure for row in rows],
        "published": [published_cell(row) for row in rows] if any(row.published for row in rows) else [],
        "ours [95%]": [ours_cell(row) for row in rows],
        "± seeds": [spread_cell(row) for row in rows] if any(row.ours and row.ours.spread for row in rows) else [],
        "n": ["—" if row.ours is None else f"{row.ours.n:,}" for row in rows],
        "verdict": [verdict_cell(row, reasons) for row in rows],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    widths = _widths(columns, width)
    if sum(widths.values()) + len(columns) - 1 > width and "± seeds" in columns:
        del columns["± seeds"]
        widths = _widths(columns, width)
    for name in columns:
        right = name in ("published", "ours [95%]", "± seeds", "n")
        table.add_column(name, justify="right" if right else "left", width=widths[name], overflow="fold")
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _widths(columns: dict[str, list[str]], width: int) -> dict[str, int]:
    """Figures as wide as they are; setting and measure share what is left, words whole where they fit."""
    widths = {name: max(len(name), *map(len, cells)) for name, cells in columns.items()}
    widths["verdict"] = min(widths.get("verdict", 0), len("tolerance (1)"))
    gaps = len(columns) - 1
    room = max(2 * LEAST, width - gaps - sum(widths[name] for name in columns if name not in ("setting", "measure")))
    word = max(len(word) for text in columns["setting"] for word in text.split() or [""])
    widths["setting"] = min(widths["setting"], max(word, room - widths["measure"], room // 2), room - LEAST)
    widths["measure"] = min(widths["measure"], room - widths["setting"])
    return widths
