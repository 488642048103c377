"""How often groups are called different where all records have the same risk, and models do well or badly by a group.

``python benchmarks/groups_simulated.py [--runs 200]``: six groups, in which the two models of each of 8 or 16 pairs
drift by so much of the noise; noise within pairs at -0.5. Judged with the variance over records and pairs of models,
and, for comparison, by the records alone. Stored in results/groups-simulated.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm

from memberwise.statistics import disparity
from memberwise.statistics.personal import auc_by_pair, cross_pair_auc

SHARES = (0.4, 0.2, 0.1, 0.1, 0.1, 0.1)
CELLS = [
    {"pairs": 16, "records": 1200, "drift": 0.0, "risk": 0.67},
    {"pairs": 16, "records": 1200, "drift": 0.5, "risk": 0.67},
    {"pairs": 16, "records": 6000, "drift": 0.5, "risk": 0.67},
    {"pairs": 8, "records": 6000, "drift": 1.0, "risk": 0.86},
]


def differences(cell: dict[str, Any], seed: int, run: int) -> tuple[bool, bool]:
    """Whether any group is called different: by records and models, and by records alone."""
    rng = np.random.default_rng([seed, run])
    pairs, records = cell["pairs"], cell["records"]
    groups = rng.choice(len(SHARES), records, p=SHARES)
    moves = cell["drift"] * rng.normal(size=(2, pairs, len(SHARES)))[:, :, groups]
    first, other = rng.normal(size=(2, pairs, records))
    one, two = first + moves[0], -0.5 * first + np.sqrt(0.75) * other + moves[1]
    in_first = rng.random((pairs, records)).argsort(1) < records // 2
    inside = np.where(in_first, one, two) + np.sqrt(2) * norm.ppf(cell["risk"])
    outside = np.where(in_first, two, one)
    aucs, divided = cross_pair_auc(inside, outside), [("group", groups.astype(str))]
    found = [
        disparity.group_differences(aucs, divided, 0.95, np.random.default_rng(run), by_pair)
        for by_pair in (auc_by_pair(inside, outside), None)
    ]
    both, alone = (any(row.p_adjusted < 0.05 for row in rows) for rows in found)
    return both, alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--permutations", type=int, default=499)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "groups-simulated.json")
    asked = parser.parse_args()
    disparity.PERMUTATIONS, disparity.PER_GROUP = asked.permutations, 0
    lines = []
    for cell in CELLS:
        both, alone = np.sum([differences(cell, asked.seed, run) for run in range(asked.runs)], axis=0)
        ends = binomtest(int(both), asked.runs).proportion_ci(method="wilson")
        judged = {"called": int(both), "interval": [ends.low, ends.high], "called_by_records_alone": int(alone)}
        lines.append(cell | {"runs": asked.runs, "seed": asked.seed, "permutations": asked.permutations} | judged)
        print(json.dumps(lines[-1]), flush=True)
        asked.out.write_text(json.dumps({"cells": lines}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
