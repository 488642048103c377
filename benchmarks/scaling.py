"""How time grows with the number of models trained at once, of models, and of records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from results import Section, spread
from workload import Workload, jobs_of, plan_in_words, synchronise, train, whole_stacks

from memberwise.auditing.prepare import Prepared
from memberwise.study.schema import PlanConfig

STACKS = (1, 2, 4, 8, 16, 32, 64)
# A step of this size off the straight line would be seen: a plan or a cache that changes with the amount of work.
FIT = "largest deviation from a straight line through the points from the first full stack on"


def stack_sizes(workload: Workload, turns: int) -> Section:
    """Models per second against how many train at once, all else as planned."""
    section = Section(f"Models per second against stack size: {workload}")
    chosen = workload.prepare(64)
    plan = chosen.plan.to_study()
    prepared = {k: workload.prepare(64, plan.model_copy(update={"stack": k})) for k in STACKS}
    times: dict[int, list[float]] = {k: [] for k in STACKS}
    for turn in range(turns + 1):
        for k, ours in prepared.items():
            models = max(k, 4 if turn else 1)
            seconds = _seconds(ours, models)
            if turn:
                times[k].append(models / seconds)
    for k, rates in times.items():
        alone = [rate / one for rate, one in zip(rates, times[1], strict=True)]
        section.rows.append({"stack": k, "models per second": spread(rates), "times a stack of 1": spread(alone)})
    section.raw["models per second"] = times
    section.notes.append(f"Our plan but for the stack: {plan_in_words(chosen)}.")
    return section


def growth(workload: Workload, turns: int, most: int, records: Sequence[int]) -> Section:
    """Seconds against models (from one stack on) and against records, with how straight the line is."""
    section = Section(f"Time against models and records: {workload}")
    first = workload.prepare(most)
    plan, block = first.plan.to_study(), first.trainer.describe().block
    counts = sorted(
        {1, max(1, block // 2), *(whole_stacks(first, most * k // 4) for k in (0, 1, 2, 3, 4) if k)} | {block}
    )
    by_models = _measure([(workload, n) for n in counts], plan, turns)
    by_records = _measure([(replace(workload, records=n), block) for n in records], plan, turns)
    for name, axis, found, full in (
        ("models", counts, by_models, block),
        ("records", list(records), by_records, 0),
    ):
        line = [(n, min(s)) for n, s in zip(axis, found, strict=True) if n >= full]
        slope, start, off = _straight([n for n, _ in line], [s for _, s in line])
        for n, seconds in zip(axis, found, strict=True):
            section.rows.append(
                {
                    "models": n if name == "models" else block,
                    "records a model": n if name == "records" else workload.records,
                    "seconds": spread(seconds),
                    "ms a model": 1e3 * spread(seconds)["median"] / (n if name == "models" else block),
                }
            )
        section.notes.append(
            f"Against {name}: {start:.3g} s + {slope * 1e3:.3g} ms for each; {FIT}: {100 * off:.2g} % (fastest turns)."
        )
        section.raw[name] = {str(n): seconds for n, seconds in zip(axis, found, strict=True)}
    section.notes.append(f"Our plan: {plan_in_words(first)}.")
    return section


def _measure(points: Sequence[tuple[Workload, int]], plan: PlanConfig, turns: int) -> list[list[float]]:
    prepared = [(workload.prepare(models, plan), models) for workload, models in points]
    times: list[list[float]] = [[] for _ in points]
    for turn in range(turns + 1):
        for found, (ours, models) in zip(times, prepared, strict=True):
            seconds = _seconds(ours, models if turn else min(models, ours.trainer.describe().block))
            if turn:
                found.append(seconds)
    return times


def _seconds(ours: Prepared, models: int) -> float:
    jobs = jobs_of(ours, models)
    synchronise()
    begun = time.perf_counter()
    train(ours, jobs)
    synchronise()
    return time.perf_counter() - begun


def _straight(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope, start and largest relative deviation of the line with the least squares of relative deviations."""
    if len(x) < 2:
        return float("nan"), float("nan"), float("nan")
    slope, start = np.polyfit(x, y, 1, w=1 / np.asarray(y))
    off = np.abs(np.polyval([slope, start], x) / np.asarray(y) - 1).max()
    return float(slope), float(start), float(off)
