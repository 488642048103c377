"""The page of kept claims: Markdown and SVG, made from the claim files alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from memberwise.report.files import write_text
from memberwise.reproduce.claim import Claim, Row
from memberwise.reproduce.plots import draw
from memberwise.reproduce.registry import REPRODUCTIONS
from memberwise.reproduce.text import BESIDE, circumstances, counts, ours_cell, published_cell, sources, summary

PAGE = "README.md"
HEAD = """# Published tables, repeated

Made from the claim files in this folder by `memberwise reproduce`; nothing here is written by hand. "Agrees": the
published figure, give or take its rounding, lies within our 95% interval. "Not compared": other data or a smaller size
than the publication's. Figures marked (verify) are quoted at second hand.
"""


def keep(claim: Claim, run: Path, folder: Path) -> Path:
    """Keep a claim file in a folder of claims, and make the folder's page anew; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "claim.json", folder / f"{claim.name}-{claim.size}.json")
    return write_page(folder)


def write_page(folder: Path) -> Path:
    """The page of all claim files in a folder, with their plots."""
    claims = [Claim.load(file) for file in sorted(folder.glob("*.json"))]
    for claim in claims:
        for plot in claim.findings.plots:
            (folder / "plots").mkdir(exist_ok=True)
            write_text(folder / plot_file(claim, plot.name), draw(plot))
    write_text(folder / PAGE, page(claims))
    return folder / PAGE


def page(claims: Iterable[Claim]) -> str:
    """The page as Markdown: reproductions in the registry's order, what was not run with the command to run it."""
    found = sorted(claims, key=lambda claim: claim.size)
    parts = [HEAD, _overview(found)]
    for reproduction in REPRODUCTIONS.values():
        own = [claim for claim in found if claim.name == reproduction.name]
        title = reproduction.title[0].upper() + reproduction.title[1:]
        parts.append(f"## {reproduction.name}\n\n{title} ({reproduction.origin}).\n")
        parts += [_section(claim, reproduction.command("full" if claim.size == "full" else "quick")) for claim in own]
        missing = [size for size in ("quick", "full") if size not in {claim.size for claim in own}]
        lines = [f"`{reproduction.command(size)}`" for size in missing]  # type: ignore[arg-type]
        if lines:
            parts.append(f"Not run{' at this size' if own else ''}: {', '.join(lines)}\n")
    return "\n".join(parts)


def _overview(claims: list[Claim]) -> str:
    """A line for each reproduction: what was compared, and how it came out."""
    lines = ["| reproduction | what is compared | size | data | agree | differ | other data or size | not run |"]
    lines.append("|---|---|---|---|--:|--:|--:|--:|")
    for reproduction in REPRODUCTIONS.values():
        link = f"[{reproduction.name}](#{reproduction.name})"
        own = [claim for claim in claims if claim.name == reproduction.name]
        if not own:
            lines.append(_line(link, reproduction.title, "not run", "", "", "", "", ""))
        for claim in own:
            named = counts(claim)
            figures = (f"{named[what] or '—'}" for what in ("agree", "differ", BESIDE, "not run"))
            lines.append(_line(link, reproduction.title, claim.size, ", ".join(claim.data), *figures))
    return "\n".join(lines) + "\n"


def plot_file(claim: Claim, plot: str) -> str:
    return f"plots/{claim.name}-{claim.size}-{plot}.svg"


def _section(claim: Claim, command: str) -> str:
    """What was found, its plots, the figures beside published ones; the others folded away."""
    lines = [f"`{command}`: {summary(claim)}.", ""]
    if claim.substitute:
        lines += [f"**{claim.substitute[0].upper()}{claim.substitute[1:]}.**", ""]
    lines += [*(f"- {note}" for note in claim.findings.notes), ""]
    lines += [f"![{plot.title}]({plot_file(claim, plot.name)})" for plot in claim.findings.plots]
    beside = [row for row in claim.findings.rows if row.published]
    others = [row for row in claim.findings.rows if not row.published]
    if beside:
        lines += ["", _line("setting", "measure", "published", "ours [95%]", "n", "verdict", "why"), "|---" * 7 + "|"]
        lines += [_line(*_cells(row, published_cell(row)), row.verdict, row.why) for row in beside]
    if others:
        lines += ["", f"<details><summary>{len(others)} figures with nothing published beside them</summary>", ""]
        lines += [_line("setting", "measure", "ours [95%]", "n", "why"), "|---" * 5 + "|"]
        lines += [_line(*_cells(row), row.why) for row in others]
        lines += ["", "</details>"]
    lines += ["", f"Published: {'; '.join(sources(claim)) or 'nothing to compare with'}.", ""]
    lines.append(f"{circumstances(claim)[0].upper()}{circumstances(claim)[1:]}.")
    return "\n".join(lines) + "\n"


def _cells(row: Row, *published: str) -> tuple[str, ...]:
    return (row.setting, row.measure, *published, ours_cell(row), "—" if row.ours is None else f"{row.ours.n:,}")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
