"""The page of kept claims: Markdown and SVG, made from the claim files alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from memberwise.report.files import write_text
from memberwise.reproduce.claim import Claim
from memberwise.reproduce.plots import draw
from memberwise.reproduce.registry import REPRODUCTIONS
from memberwise.reproduce.text import circumstances, ours_cell, published_cell, sources, summary

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
    found = list(claims)
    parts = [HEAD]
    for reproduction in REPRODUCTIONS.values():
        own = [claim for claim in found if claim.name == reproduction.name]
        title = reproduction.title[0].upper() + reproduction.title[1:]
        parts.append(f"## {reproduction.name}\n\n{title} ({reproduction.origin}).\n")
        for claim in sorted(own, key=lambda claim: claim.size):
            parts.append(_section(claim, reproduction.command("full" if claim.size == "full" else "quick")))
        missing = [size for size in ("quick", "full") if size not in {claim.size for claim in own}]
        lines = [f"`{reproduction.command(size)}`" for size in missing]  # type: ignore[arg-type]
        if lines:
            parts.append(f"Not run{' at this size' if own else ''}: {', '.join(lines)}\n")
    return "\n".join(parts)


def plot_file(claim: Claim, plot: str) -> str:
    return f"plots/{claim.name}-{claim.size}-{plot}.svg"


def _section(claim: Claim, command: str) -> str:
    lines = [f"`{command}`: {summary(claim)}.", ""]
    if claim.substitute:
        lines += [f"**{claim.substitute[0].upper()}{claim.substitute[1:]}.**", ""]
    lines += ["| setting | measure | published | ours [95%] | n | verdict | why |", "|---|---|---|---|---|---|---|"]
    for row in claim.findings.rows:
        n = "—" if row.ours is None else f"{row.ours.n:,}"
        cells = (row.setting, row.measure, published_cell(row), ours_cell(row), n, row.verdict, row.why)
        lines.append("| " + " | ".join(text.replace("|", "/") for text in cells) + " |")
    lines += ["", *(f"- {note}" for note in claim.findings.notes)]
    lines += ["", *(f"![{plot.title}]({plot_file(claim, plot.name)})" for plot in claim.findings.plots)]
    lines += ["", f"Published: {'; '.join(sources(claim)) or 'nothing to compare with'}.", ""]
    lines.append(f"{circumstances(claim)[0].upper()}{circumstances(claim)[1:]}.")
    return "\n".join(lines) + "\n"
