"""The page of kept claims: Markdown and SVG, made from the claim files alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from memberwise.reproduce.claim import Claim, Row
from memberwise.reproduce.plots import draw
from memberwise.reproduce.registry import REPRODUCTIONS
from memberwise.reproduce.reproduction import Size
from memberwise.reproduce.text import (
    BESIDE,
    circumstances,
    counts,
    origins,
    ours_cell,
    published_cell,
    reasons_of,
    sources,
    spread_cell,
    verdict_cell,
)
from memberwise.store.files import write_text

PAGE = "README.md"
# Fewer seeds tell no spread.
FEW = 3
# From so many measures a setting on, they are columns.
WIDE = 3
HEAD = """# Published tables, repeated

Made from the claim files in this folder by `memberwise reproduce`; nothing here is written by hand. "Agree": the
published figure, give or take its rounding, lies within our 95% interval or a stated tolerance, and nothing it rests on
was chosen by looking at it. **Fitted to match**: it lies there too, but a training size, a number of passes, a mix or a
reading was chosen so that it does, or guessing gives it: that is no evidence. "Invalid": a condition without which the
figures mean nothing does not hold. Figures are means over seeds; "± seeds": their standard deviation (a bold number of
seeds: fewer than three), and every seed's figure is in the claim file. (verify): quoted at second hand.
"""
COLUMNS = ("agree", "fitted to match", "differ", "invalid", BESIDE, "not run")


def keep(claim: Claim, run: Path, folder: Path) -> Path:
    """Keep a claim file in a folder of claims, and make the folder's page anew; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "claim.json", folder / f"{claim.name}-{claim.size}.json")
    return write_page(folder)


def write_page(folder: Path) -> Path:
    """The page of all claim files in a folder, with their plots; plots of no claim are removed."""
    claims = [Claim.load(file) for file in sorted(folder.glob("*.json"))]
    (folder / "plots").mkdir(exist_ok=True)
    drawn = {plot_file(claim, plot.name): plot for claim in claims for plot in claim.findings.plots}
    for file in (folder / "plots").glob("*.svg"):
        if f"plots/{file.name}" not in drawn:
            file.unlink()
    for name, plot in drawn.items():
        write_text(folder / name, draw(plot))
    write_text(folder / PAGE, page(claims))
    return folder / PAGE


def page(claims: Iterable[Claim]) -> str:
    """The page as Markdown: reproductions in the registry's order, what was not run with the command to run it."""
    by_size = sorted(claims, key=lambda claim: claim.size)
    parts = [HEAD, _overview(by_size)]
    for reproduction in REPRODUCTIONS.values():
        group = [claim for claim in by_size if claim.name == reproduction.name]
        title = reproduction.title[0].upper() + reproduction.title[1:]
        sizes: tuple[Size, ...] = ("quick", "full")
        missing = [reproduction.command(size) for size in sizes if size not in {claim.size for claim in group}]
        note = "".join(f" Not run: `{command}`." for command in missing)
        parts.append(f"## {reproduction.name}\n\n{title} ({reproduction.origin}).{note}\n")
        parts += [_section(claim, reproduction.command("full" if claim.size == "full" else "quick")) for claim in group]
    return "\n".join(parts)


def _overview(claims: list[Claim]) -> str:
    """A line for each claim: on what, how its published figures came out, and what was chosen by looking at them."""
    named = ("agree", "fitted to match", "differ", "invalid", "other data or size", "not run")
    lines = [_line("claim", "size", "data", "seeds", *named, "chosen by looking at the published figures")]
    lines.append("|---|---|---|--:|" + "--:|" * len(COLUMNS) + "---|")
    for reproduction in REPRODUCTIONS.values():
        link = f"[{reproduction.name}](#{reproduction.name})"
        group = [claim for claim in claims if claim.name == reproduction.name]
        if not group:
            lines.append(_line(link, "not run", *[""] * (len(COLUMNS) + 3)))
        for claim in group:
            tally = counts(claim)
            figures = (f"{tally[what] or '—'}" for what in COLUMNS)
            seeds = f"{len(claim.seeds)}" if len(claim.seeds) >= FEW else f"**{len(claim.seeds)}**"
            fitted = ", ".join(setting.name for setting in claim.fitted) or "—"
            lines.append(_line(link, claim.size, ", ".join(claim.data), seeds, *figures, fitted))
    return "\n".join(lines) + "\n"


def plot_file(claim: Claim, plot: str) -> str:
    """Where a plot of a claim is stored, beside the page."""
    return f"plots/{claim.name}-{claim.size}-{plot}.svg"


def _section(claim: Claim, command: str) -> str:
    """What was found, its plots, the figures beside published ones, each reason once; the rest is in the file."""
    few = "" if len(claim.seeds) >= FEW else f" **{len(claim.seeds)} seed{'s' if len(claim.seeds) > 1 else ''} only.**"
    lines = [f"`{command}`: {circumstances(claim)}.{few}", ""]
    if claim.substitute:
        lines += [f"**{claim.substitute[0].upper()}{claim.substitute[1:]}.**", ""]
    lines += [f"- **Invalid**: {condition.name}; {condition.told}." for condition in claim.broken]
    lines += [f"- {line}." for line in [". ".join(origins(claim))] if line]
    lines += [f"- {note}" for note in claim.findings.notes]
    plots = claim.findings.plots
    if plots:
        lines += ["", " ".join(f"![{plot.title}]({plot_file(claim, plot.name)})" for plot in plots)]
    comparisons = [row for row in claim.findings.rows if row.published]
    lines += _table([row for row in comparisons if row.ours])
    lines += _not_run([row for row in comparisons if not row.ours])
    more = len(claim.findings.rows) - len(comparisons)
    file = f"[{claim.name}-{claim.size}.json]({claim.name}-{claim.size}.json)"
    lines += ["", f"Published: {'; '.join(sources(claim)) or 'nothing to compare with'}. All figures, {more} of them"]
    lines[-1] += f" with nothing published beside them: {file}."
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    reasons = reasons_of(rows)
    settings = dict.fromkeys(row.setting for row in rows)
    lines = _wide(rows, reasons) if len(rows) >= WIDE * len(settings) else _long(rows, reasons)
    notes = " ".join(f"({place}) {why}." for place, why in enumerate(reasons, start=1))
    return ["", *lines, *(["", notes] if notes else [])]


def _long(rows: Sequence[Row], reasons: Sequence[str]) -> list[str]:
    """A line for each figure."""
    heading = ("setting", "measure", "published", "ours [95%]", "± seeds", "n", "verdict")
    lines = [_line(*heading), "|---" * len(heading) + "|"]
    for row in rows:
        cells = (row.setting, row.measure, published_cell(row), ours_cell(row), spread_cell(row), _n(row))
        lines.append(_line(*cells, verdict_cell(row, reasons)))
    return lines


def _wide(rows: Sequence[Row], reasons: Sequence[str]) -> list[str]:
    """A line for each setting, a column for each measure: published, ours with interval, spread and n, verdict."""
    measures = dict.fromkeys(row.measure for row in rows)
    lines = [_line("setting", *(f"{m}: published, ours [95%] ± seeds, n" for m in measures))]
    lines.append("|---" * (len(measures) + 1) + "|")
    cells = {
        (row.setting, row.measure): f"{published_cell(row)}, {ours_cell(row)}"
        + (f" ± {spread_cell(row)}" if row.ours and row.ours.spread is not None else "")
        + f", {_n(row)}: {verdict_cell(row, reasons)}"
        for row in rows
    }
    for setting in dict.fromkeys(row.setting for row in rows):
        lines.append(_line(setting, *(cells.get((setting, measure), "—") for measure in measures)))
    return lines


def _n(row: Row) -> str:
    return "—" if row.ours is None else f"{row.ours.n:,}"


def _not_run(rows: Sequence[Row]) -> list[str]:
    """Published figures without one of ours, by reason."""
    reasons = dict.fromkeys(row.why for row in rows)
    lines = []
    for why in reasons:
        group = [row for row in rows if row.why == why]
        settings = ", ".join(dict.fromkeys(row.setting for row in group))
        figures = "1 figure" if len(group) == 1 else f"{len(group)} figures"
        lines.append(f"{figures} ({settings}): {why or 'not part of this size'}")
    return ["", f"Not run: {'; '.join(lines)}."] if lines else []


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
