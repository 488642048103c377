"""How often the stated shares of records above 0.6, 0.7, 0.8 and 0.9 hold the truth, where it is known.

    python benchmarks/people_simulated.py --runs 200
    python benchmarks/people_simulated.py --kinds few null --pairs 8 --within -0.5 --records 12000 --drift 1.2

Every combination of what is asked for is a cell. ``few``: 90 % of records without risk, 8 % mild, 2 % strong; ``mild``:
all mild; ``edge``: a tenth just below 0.9; ``continuous``; ``null``. ``heavy``: Student's t with 3 degrees of freedom,
and IN answers spread 0.6 times as much as OUT. Each model drifts along a direction of the records. A histogram, with
its binomial interval, is judged beside. Cells are stored in results/people-simulated.json, each in place of its like.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from memberwise.statistics.personal import (
    auc_table,
    cross_pair_auc,
    pair_correlation,
    rounded_down,
    shared_drift,
    shares_above,
)

KINDS, LEVELS, NARROW = ("few", "mild", "edge", "continuous", "null"), (0.6, 0.7, 0.8, 0.9), 0.6
Floats = NDArray[np.float64]


def risks(kind: str, records: int, rng: np.random.Generator) -> Floats:
    """AUC_i of normal answers of one spread without drift."""
    share = rng.random(records)
    if kind == "few":
        return np.where(share < 0.9, 0.5, np.where(share < 0.98, 0.67, 0.96))
    if kind == "edge":
        return np.where(share < 0.1, 0.87, 0.5)
    if kind == "continuous":
        return np.asarray(norm.cdf(np.abs(norm.ppf(0.5 + share / 2)) * 0.9 / np.sqrt(2)))
    return np.full(records, {"null": 0.5, "mild": 0.67}[kind])


def noise(heavy: bool, shape: tuple[int, ...], within: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Of the two models of each pair, with this correlation and spread 1."""
    if heavy:
        scale = np.sqrt(3 / rng.chisquare(3, shape)) / np.sqrt(3)  # one tail for both, so that they correlate as asked
        first, other = rng.normal(size=shape) * scale, rng.normal(size=shape) * scale
    else:
        first, other = rng.normal(size=shape), rng.normal(size=shape)
    return first, within * first + np.sqrt(1 - within**2) * other


def drawn(cell: dict[str, Any], rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """IN and OUT scores ``(p, n)``, and the true AUC_i ``(n,)``."""
    pairs, records, heavy = cell["pairs"], cell["records"], cell["spreads"] == "heavy"
    shift = np.sqrt(2) * norm.ppf(risks(cell["kind"], records, rng))
    one, two = noise(heavy, (pairs, records), cell["within"], rng)
    in_first = rng.random((pairs, records)).argsort(1) < records // 2
    load = rng.normal(size=records)
    moves = cell["drift"] * rng.normal(size=(2, pairs, 1)) * load
    narrow = NARROW if heavy else 1.0
    inside = np.where(in_first, one, two) * narrow + shift + np.where(in_first, moves[0], moves[1])
    outside = np.where(in_first, two, one) + np.where(in_first, moves[1], moves[0])
    # Models trained apart: noise of two pairs, and their drifts.
    apart = [noise(heavy, (40_000,), 0.0, rng)[0] for _ in range(2)]
    gaps = np.sort(apart[1] - narrow * apart[0])
    z = norm.ppf((np.arange(32) + 0.5) / 32)[:, None] * np.sqrt(2) * cell["drift"] * load
    return inside, outside, np.asarray((np.searchsorted(gaps, shift + z) / len(gaps)).mean(0))


def carried_out(cell: dict[str, Any], runs: int, seed: int) -> dict[str, Any]:
    held, counted, width, zero = np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4)
    for run in range(runs):
        inside, outside, truth = drawn(cell, np.random.default_rng([seed, run]))
        apart = np.concatenate([inside - inside.mean(0), outside - outside.mean(0)])
        factor = 1 + cell["records"] * shared_drift(apart) / len(inside)
        aucs = cross_pair_auc(inside, outside)
        table = auc_table(len(inside), rounded_down(pair_correlation(inside, outside)))
        for place, one in enumerate(shares_above(aucs, table, LEVELS, 0.95, factor)):
            share, count = float((truth > one.level).mean()), float((aucs > one.level).mean())
            half = 1.96 * np.sqrt(max(count * (1 - count), 1 / len(aucs)) / len(aucs))
            held[place] += one.low - 1e-9 <= share <= one.high + 1e-9
            counted[place] += abs(count - share) <= half
            zero[place] += one.low <= 0
            width[place] += (one.high - one.low) / runs
    return cell | {
        "runs": runs,
        "seed": seed,
        "held": (held / runs).round(4).tolist(),
        "histogram_held": (counted / runs).round(4).tolist(),
        "includes_zero": (zero / runs).round(4).tolist(),
        "mean_width": width.round(4).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--pairs", nargs="+", type=int, default=[8, 16, 32, 128])
    parser.add_argument("--within", nargs="+", type=float, default=[-0.5, 0.0])
    parser.add_argument("--spreads", nargs="+", default=["equal", "heavy"], choices=["equal", "heavy"])
    parser.add_argument("--records", nargs="+", type=int, default=[1200])
    parser.add_argument("--drift", nargs="+", type=float, default=[0.44])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "people-simulated.json")
    asked = parser.parse_args()
    names = ("kind", "pairs", "within", "spreads", "records", "drift")
    cells = itertools.product(asked.kinds, asked.pairs, asked.within, asked.spreads, asked.records, asked.drift)
    lines = json.loads(asked.out.read_text("utf-8"))["cells"] if asked.out.exists() else []
    for values in cells:
        cell = dict(zip(names, values, strict=True))
        lines = [line for line in lines if {name: line[name] for name in names} != cell]
        lines.append(carried_out(cell, asked.runs, asked.seed))
        print(json.dumps(lines[-1]), flush=True)
        asked.out.write_text(json.dumps({"levels": LEVELS, "cells": lines}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
