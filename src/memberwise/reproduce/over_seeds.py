"""Findings of several seeds in one: means with their spread, the figures of each seed kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from memberwise.reproduce.claim import Condition, Findings, Ours, Plot, Row, Series, is_share

# Student's interval of two runs is wider than anything it could be compared with.
LEAST = 3
CONFIDENCE = 0.95


def merge(by_seed: Mapping[int, Findings]) -> Findings:
    """One set of findings from those of each seed, by the seed; of a single seed they come back as they are."""
    if len(by_seed) == 1:
        return next(iter(by_seed.values()))
    every = list(by_seed.values())
    keys = dict.fromkeys((row.setting, row.measure) for findings in every for row in findings.rows)
    tables = {seed: {(row.setting, row.measure): row for row in findings.rows} for seed, findings in by_seed.items()}
    rows = [_row({seed: table[key] for seed, table in tables.items() if key in table}) for key in keys]
    plots = [_plot([p for f in every for p in f.plots if p.name == plot.name]) for plot in every[0].plots]
    names = dict.fromkeys(condition.name for findings in every for condition in findings.conditions)
    conditions = [
        _condition({s: c for s, f in by_seed.items() for c in f.conditions if c.name == name}) for name in names
    ]
    return Findings(tuple(rows), tuple(plots), _notes(by_seed), tuple(conditions))


def merged_figure(figures: Sequence[Ours]) -> Ours:
    """The mean over seeds. At each end its interval is the wider of Student's over seeds and the mean of the runs'.

    The one covers what training and the drawing of records change, of which few seeds tell little; the other what the
    records do that runs have in common.
    """
    seeds = tuple(seed for figure in figures for seed in figure.seeds)
    values = np.array([figure.value for figure in figures])
    mean, k = float(values.mean()), len(values)
    if k == 1:
        return figures[0]
    spread = float(values.std(ddof=1))
    lows = [figure.low for figure in figures if figure.low is not None]
    highs = [figure.high for figure in figures if figure.high is not None]
    low, high = (float(np.mean(ends)) if len(ends) == k else None for ends in (lows, highs))
    method = figures[0].method
    if k >= LEAST:
        half = float(stats.t.isf((1 - CONFIDENCE) / 2, k - 1)) * spread / k**0.5
        low = mean - half if low is None else min(low, mean - half)
        high = mean + half if high is None else max(high, mean + half)
        method = f"mean of {k} seeds; the wider of Student's t over seeds and: {method}"
    n = round(float(np.mean([figure.n for figure in figures])))
    return Ours(mean, low, high, n, method, seeds, tuple(values.tolist()), spread)


def _row(rows: Mapping[int, Row]) -> Row:
    """A line of all seeds; a figure that some seeds lack is of the others."""
    first = next(iter(rows.values()))
    figures = [row.ours for row in rows.values() if row.ours is not None]
    whys = dict.fromkeys(row.why for row in rows.values())
    why = first.why if len(whys) == 1 else "; ".join(f"seed {seed}: {row.why}" for seed, row in rows.items() if row.why)
    return replace(first, ours=_possible(merged_figure(figures), first.measure) if figures else None, why=why)


def _possible(ours: Ours, measure: str) -> Ours:
    """The interval without what no share can be: Student's knows no bounds."""
    if ours.low is None or ours.high is None or not is_share(measure):
        return ours
    return replace(ours, low=max(0.0, ours.low), high=min(1.0, ours.high))


def _plot(plots: Sequence[Plot]) -> Plot:
    """Means of the series where every seed has the same points; densities and others are the first seed's."""
    first = plots[0]
    shapes = {tuple((s.label, len(s.x), len(s.y), len(s.low), len(s.high)) for s in plot.series) for plot in plots}
    if first.kind == "steps" or len(shapes) > 1:
        return replace(first, title=f"{first.title} (first seed)")
    return replace(first, series=tuple(_series(lines) for lines in zip(*(plot.series for plot in plots), strict=True)))


def _series(lines: Sequence[Series]) -> Series:
    def mean(part: str) -> tuple[float, ...]:
        return tuple(np.mean([getattr(line, part) for line in lines], 0).tolist())

    return replace(lines[0], x=mean("x"), y=mean("y"), low=mean("low"), high=mean("high"))


def _condition(conditions: Mapping[int, Condition]) -> Condition:
    """Holds where it holds for every seed."""
    first = next(iter(conditions.values()))
    text = "; ".join(f"seed {seed}: {condition.told}" for seed, condition in conditions.items())
    rows = tuple(dict.fromkeys(row for condition in conditions.values() for row in condition.rows))
    return Condition(first.name, all(c.holds for c in conditions.values()), text, rows)


def _notes(by_seed: Mapping[int, Findings]) -> tuple[str, ...]:
    """What every seed says alike is said once; else it is the first seed's, and says so."""
    seed, first = next(iter(by_seed.items()))
    alike = set.intersection(*(set(findings.notes) for findings in by_seed.values()))
    return tuple(note if note in alike else f"Seed {seed}: {note}" for note in first.notes)
