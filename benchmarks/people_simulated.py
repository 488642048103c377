"""How often the stated shares of records above 0.6, 0.7, 0.8 and 0.9 hold the truth, where it is known.

    python benchmarks/people_simulated.py                                  # every cell, 200 times, where it stopped
    python benchmarks/people_simulated.py --kinds mild edge --pairs 32 --spreads heavy --drift 0 --minutes 10

Every combination of what is asked for is a cell. ``few``: 90 % of records without risk, 8 % mild (0.67), 2 % strong
(0.96); ``mild``: all 0.67; ``below``: all 0.79; ``edge``: a tenth at 0.89; ``continuous``; ``null``. ``heavy``:
Student's t with 3 degrees of freedom, and IN answers spread 0.6 times as much as OUT. Each model drifts along a
direction of the records, by so much of the noise. A histogram, with its binomial interval, is judged beside. Cells that
failed before the table knew heavy tails come first; each is kept in results/people-simulated.json every 20 repetitions,
with its seed, and goes on from there.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from memberwise.statistics.gate import LEVELS
from memberwise.statistics.personal import (
    correlation_spread,
    correlations_within,
    cross_pair_auc,
    mean_correlation,
    shared_drift,
    shares_above,
)
from memberwise.statistics.personal_tables import auc_table

KINDS, NARROW, PART, APART = ("mild", "below", "edge", "null", "few", "continuous"), 0.6, 20, 0x4150
NAMES = ("kind", "spreads", "drift", "records", "pairs", "within")
Floats = NDArray[np.float64]


def risks(kind: str, records: int, rng: np.random.Generator) -> Floats:
    """AUC_i without drift."""
    share = rng.random(records)
    if kind == "few":
        return np.where(share < 0.9, 0.5, np.where(share < 0.98, 0.67, 0.96))
    if kind == "edge":
        return np.where(share < 0.1, 0.89, 0.5)
    if kind == "continuous":
        return np.asarray(norm.cdf(np.abs(norm.ppf(0.5 + share / 2)) * 0.9 / np.sqrt(2)))
    return np.full(records, {"null": 0.5, "mild": 0.67, "below": 0.79}[kind])


def noise(heavy: bool, shape: tuple[int, ...], within: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Of the two models of each pair, with this correlation and spread 1."""
    first, other = rng.normal(size=(2, *shape))
    if heavy:  # one tail for both, so that they correlate as asked
        scale = 1 / np.sqrt(rng.chisquare(3, shape))
        first, other = first * scale, other * scale
    return first, within * first + np.sqrt(1 - within**2) * other


@functools.lru_cache
def gaps_apart(heavy: bool) -> Floats:
    """Sorted noise of OUT less IN scores of models trained apart: an AUC is a shift beyond so many of them."""
    rng = np.random.default_rng(APART)
    apart = [noise(heavy, (500_000,), 0.0, rng)[0] for _ in range(2)]
    gap = apart[1] - (NARROW if heavy else 1.0) * apart[0]
    return np.sort(np.concatenate([gap, -gap]))


def drawn(cell: dict[str, Any], rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """IN and OUT scores ``(p, n)``, and the true AUC_i ``(n,)``."""
    pairs, records, heavy = cell["pairs"], cell["records"], cell["spreads"] == "heavy"
    narrow, gaps = NARROW if heavy else 1.0, gaps_apart(heavy)
    shift = np.quantile(gaps, risks(cell["kind"], records, rng))
    one, two = noise(heavy, (pairs, records), cell["within"], rng)
    in_first = rng.random((pairs, records)).argsort(1) < records // 2
    load = rng.normal(size=records)
    moves = cell["drift"] * rng.normal(size=(2, pairs, 1)) * load
    inside = np.where(in_first, one, two) * narrow + shift + np.where(in_first, moves[0], moves[1])
    outside = np.where(in_first, two, one) + np.where(in_first, moves[1], moves[0])
    z = norm.ppf((np.arange(32) + 0.5) / 32)[:, None] * np.sqrt(2) * cell["drift"] * load
    truth = np.searchsorted(gaps, shift + z).mean(0) / len(gaps)
    return inside, outside, np.asarray(truth)


def judged(cell: dict[str, Any], seed: int, run: int) -> NDArray[np.float64]:
    """``(4, levels)``: held, held by counting, includes 0, and the width."""
    inside, outside, truth = drawn(cell, np.random.default_rng([seed, run]))
    pairs, records = inside.shape
    drift = shared_drift(np.concatenate([inside - inside.mean(0), outside - outside.mean(0)]))
    aucs, each = cross_pair_auc(inside, outside), correlations_within(inside, outside)
    table = auc_table(pairs, mean_correlation(each, pairs), correlation_spread(each, pairs))
    rows = []
    for one in shares_above(aucs, table, LEVELS, 0.95, 1 + records * drift / pairs):
        share, count = float((truth > one.level).mean()), float((aucs > one.level).mean())
        half = 1.96 * np.sqrt(max(count * (1 - count), 1 / records) / records)
        held = one.low - 1e-9 <= share <= one.high + 1e-9
        rows.append((held, abs(count - share) <= half, one.low <= 0, one.high - one.low))
    return np.array(rows, np.float64).T


def carried_on(line: dict[str, Any], seed: int, runs: int) -> dict[str, Any]:
    """The cell with so many repetitions in all."""
    before = line.get("runs", 0)
    names = ("held", "histogram_held", "includes_zero", "mean_width")
    sums = np.array([line.get(name, [0.0] * len(LEVELS)) for name in names]) * before
    sums += sum(judged(line, seed, run) for run in range(before, runs))
    means = dict(zip(names, (sums / runs).round(6).tolist(), strict=True))
    lowest = [binomtest(round(held * runs), runs).proportion_ci(method="wilson") for held in means["held"]]
    return line | means | {"runs": runs, "seed": seed, "held_interval": [[one.low, one.high] for one in lowest]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--spreads", nargs="+", default=["heavy", "equal"], choices=["heavy", "equal"])
    parser.add_argument("--drift", nargs="+", type=float, default=[0.44])
    parser.add_argument("--records", nargs="+", type=int, default=[1200, 12000])
    parser.add_argument("--pairs", nargs="+", type=int, default=[32, 128, 8, 16])
    parser.add_argument("--within", nargs="+", type=float, default=[-0.5, 0.0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "people-simulated.json")
    asked = parser.parse_args()
    end = time.monotonic() + 60 * asked.minutes
    asked_for = (asked.spreads, asked.drift, asked.records, asked.pairs, asked.within, asked.kinds)
    cells = [dict(zip(NAMES, (cell[-1], *cell[:-1]), strict=True)) for cell in itertools.product(*asked_for)]
    lines = json.loads(asked.out.read_text("utf-8"))["cells"] if asked.out.exists() else []
    for cell in cells:
        line = next((one for one in lines if all(one[name] == cell[name] for name in NAMES)), cell)
        while line.get("runs", 0) < asked.runs and time.monotonic() < end:
            lines = [one for one in lines if one is not line]
            line = carried_on(line, asked.seed, min(asked.runs, line.get("runs", 0) + PART))
            lines.append(line)
            asked.out.write_text(json.dumps({"levels": LEVELS, "cells": lines}, indent=1) + "\n", "utf-8")
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
