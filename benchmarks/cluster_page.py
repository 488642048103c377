"""From the kept figures of ``cluster.py`` to the page on clusters: a table, and a picture of where one saturates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

DOCS = Path(__file__).parents[1] / "docs"
PICTURE = "cluster.svg"
BEGIN, END = "<!-- figures of benchmarks/cluster.py -->", "<!-- end of figures -->"
WORKERS = (1, 3, 10, 30, 100, 300, 1000)
# Beside the measured model, one that takes a worker so many seconds.
SLOW = 60.0
MEASURED = "the measured model"


@dataclass(frozen=True)
class Saturation:
    """Models per second by so many workers, from the first to the report; and what bounds them."""

    workers: float
    rate: float
    bound: str


def saturated(kept: Mapping[str, Any], workers: float, worker_seconds: float | None = None) -> Saturation:
    """Training, sending and gathering go side by side, the slowest sets the pace; the attacks come after.

    Args:
        worker_seconds: of one worker, a model; None: as it was measured.
    """
    constants = kept["constants"]
    seconds = {
        "workers": (worker_seconds or 1 / constants["models/s ray, one worker of two threads"]) / workers,
        "network into the driver": constants["bytes to the driver, a model"] / kept["bandwidth"],
        "driver's gathering": constants["driver's seconds a model"],
    }
    slowest = max(seconds, key=lambda name: seconds[name])
    attacks = constants["attacks' seconds a model"]
    bound = "attacks" if attacks > seconds[slowest] else slowest
    return Saturation(workers, 1 / (seconds[slowest] + attacks), bound)


def saturation_lines(kept: Mapping[str, Any]) -> list[str]:
    """For the terminal."""
    rows = [saturated(kept, workers) for workers in WORKERS]
    return [f"{row.workers:5g} workers {row.rate:10.1f} models/s, bounded by the {row.bound}" for row in rows]


def write(kept: Mapping[str, Any], docs: Path = DOCS) -> None:
    """The page's part between its two marks, and the picture, anew.

    Raises:
        ValueError: the page has no such marks, or the figures are those of a tiny run.
    """
    page = docs / "cluster.md"
    text = page.read_text("utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no place for figures: {BEGIN} ... {END}")
    if kept["tiny"] and docs == DOCS:
        raise ValueError("a tiny run shows only that the benchmark runs: it is no figure for the page")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{section(kept)}\n{END}{after}", "utf-8")
    draw(kept, docs / PICTURE)


def section(kept: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    c = kept["constants"]
    rows = [
        ("one worker of two threads beside the local engine", f"{c['ratio one worker / local']:.2f} of its models/s"),
        ("two workers of one thread beside one of one", f"{c['ratio two workers / one']:.2f} times its models/s"),
        ("start of a Ray of this machine", f"{c['seconds to start Ray']:.1f} s"),
        ("then until the first block is there (a worker starts)", f"{c['seconds to the first block']:.1f} s"),
        ("to each node, once", f"{c['bytes to a node, once'] / 1e6:,.1f} MB"),
        ("to a worker, a model", f"{c['bytes to a worker, a model'] / 1e3:,.1f} kB"),
        ("to the driver, a model", f"{c['bytes to the driver, a model'] / 1e3:,.1f} kB"),
        ("driver's time a model: copied, hashed, written", f"{1e3 * c[_DRIVER]:.2f} ms"),
        ("attacks' time a model", f"{1e3 * c[_ATTACKS]:.2f} ms"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    points = "; ".join(
        f"{row.workers:g}: {row.rate:,.1f} ({row.bound})" for row in (saturated(kept, workers) for workers in WORKERS)
    )
    memory = f"""{c["workers on the node"]:g} workers of one node on {c["MB of data"]:,.1f} MB of uint8 records: each
    maps {c["MB shared, as each worker maps it"]:,.1f} MB of shared memory, and their parts of it add up to
    {c["MB shared, all workers' parts together"]:,.1f} MB: the data are there once for all of them. Of its own a worker
    has {c["MB of a worker's own, at most"]:,.0f} MB, Python and torch included. (The driver has the data itself, too:
    it trains the target.)"""
    model = f"""Drawn on to 1,000 workers with these constants and {kept["bandwidth"] * 8 / 1e9:g} Gbit/s into the
    driver, in models per second by workers, report included: {points}. With a model that takes a worker {SLOW:g} s
    it takes more workers to saturate the driver, in proportion."""
    parts = [
        f"Measured on {kept['date']} ({kept['processor']}), ratios within one run:",
        f"| what | figure |\n|---|---|\n{table}",
        *(fill(" ".join(text.split()), 118) for text in (memory, model)),
        f"![Models per second by number of workers]({PICTURE})",
    ]
    return "\n\n".join(["", *parts, ""])


_DRIVER, _ATTACKS = "driver's seconds a model", "attacks' seconds a model"


def draw(kept: Mapping[str, Any], file: Path) -> None:
    """Models per second by workers: of the measured model, and of a slow one; and what bounds both in the end."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    workers = np.geomspace(1, 1000, 200)
    with mpl.rc_context({"svg.hashsalt": "memberwise", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.subplots()
        for label, seconds in ((MEASURED, None), (f"a model of {SLOW:g} s", SLOW)):
            axes.plot(workers, [saturated(kept, count, seconds).rate for count in workers], label=label)
        ends = saturated(kept, 1e9)
        axes.axhline(ends.rate, color="0.5", linestyle=":", label=f"bounded by the {ends.bound}")
        axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="models per second, report included")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(file, format="svg", metadata={"Date": None})
