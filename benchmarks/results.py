"""Sections of results: stored as JSON with all that belongs to a figure, and shown as tables made from that JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A figure that is to be reached: at least (or at most) ``wanted``."""

    what: str
    value: float
    wanted: float
    sign: str = ">="

    @property
    def reached(self) -> bool:
        return self.value >= self.wanted if self.sign == ">=" else self.value <= self.wanted


@dataclass
class Section:
    """One table (a row maps columns to cells) with its bars and notes; ``raw`` is every single measurement."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"bars": [asdict(bar) | {"reached": bar.reached} for bar in self.bars]}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest of repeated measurements: one cell of a table."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "n": len(values)}


def cell(value: Any) -> str:
    """Three digits that matter, of a spread "median (low to high)"; texts as they are."""
    if isinstance(value, dict) and value["n"] == 1:
        return cell(value["median"])
    if isinstance(value, dict):
        return f"{cell(value['median'])} ({cell(value['low'])} to {cell(value['high'])})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def markdown(section: dict[str, Any]) -> str:
    """A section as text that reads well on a terminal too."""
    lines = [f"### {section['title']}", ""]
    if section["rows"]:
        table = [list(section["rows"][0])] + [[cell(value) for value in row.values()] for row in section["rows"]]
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        table.insert(1, ["-" * width for width in widths])
        lines += ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in table]
        lines.append("")
    for bar in section["bars"]:
        said = "reached" if bar["reached"] else "**not reached**"
        lines.append(f"- {bar['what']}: {cell(bar['value'])}; wanted {bar['sign']} {cell(bar['wanted'])}: {said}")
    return "\n".join(lines + [f"- {note}" for note in section["notes"]]) + "\n"


def page(run: dict[str, Any]) -> str:
    """One run: where and when, whether it was quiet, all sections."""
    where, others = run["machine"], run["others_share"]
    lines = [
        f"## {where['gpu'] or where['processor']}, {run['date']}",
        "",
        f"{where['cores']} cores ({', '.join(where['vector_units'])}), {where['memory_gb']} GB, {where['system']}; "
        + ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        + f"; {run['seconds']:.0f} s in all.",
    ]
    if others is not None and others > 0.05:
        lines += [
            "",
            f"**Other processes had {others:.0%} of the processors' time: the figures are not to be trusted.**",
        ]
    return "\n".join(lines) + "\n\n" + "\n".join(markdown(section) for section in run["sections"].values())


def store(folder: Path, run: dict[str, Any]) -> Path:
    """Write the run as JSON, and README.md from the latest run of each kind of device."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run['date']}-{'cuda' if run['machine']['gpu'] else 'cpu'}.json"
    path.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    latest = {kind: max(folder.glob(f"*-{kind}.json"), default=None) for kind in ("cpu", "cuda")}
    pages = [page(json.loads(found.read_text(encoding="utf-8"))) for found in latest.values() if found]
    intro = (
        "# Results\n\nMade by `make bench`; the JSON files hold every single measurement. A cell reads: median "
        "(smallest to largest) of repeated measurements, contestants taking turns. A ratio is of one turn.\n"
    )
    if not latest["cuda"]:
        pages.append("## GPU\n\nNo figures: no GPU was at hand.\n")
    (folder / "README.md").write_text("\n".join([intro, *pages]), encoding="utf-8")
    return path
