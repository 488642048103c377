"""What the judge of absolute levels adds to `learned` where targets are like their shadow models.

    python benchmarks/attacks/levels.py [--pool NAME] [--pools FOLDER] [--location FOLDER]

The pools of mismatch.py: each of their 8 shadow models is the target of the six of the other pairs, with that judge and
without; and Location-30 of measure.py, 8 targets beside its first 6 and 8 shadow models. Means, and in brackets 95 %
intervals of the paired difference over targets. Stored in benchmarks/results/levels.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mismatch
import numpy as np
import pools
from mismatch import calibration_error
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from memberwise.attacks.learned.attack import judges_of, scores_of, taught_by
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_targets
from memberwise.signals.table import Signals
from memberwise.statistics import tpr_at

RESULTS = Path(__file__).parent.parent / "results" / "levels.json"
LOCATION = "Location-30"

# The tables of some targets of the same shadow models, and the truth about each.
Targets = list[tuple[Signals, NDArray[np.bool_]]]


def in_turn(name: str, folder: Path) -> Iterator[Targets]:
    """The shadow models of a pool of mismatches, a pair at a time, as targets of the others."""
    whole = mismatch.table(
        mismatch.shadows_of(name, folder), mismatch.targets_of(name, "matched", folder), 0, mismatch.SHADOWS
    )
    for first in range(0, mismatch.SHADOWS, 2):
        yield [(one.signals, one.member) for one in as_targets(whole, [first, first + 1])]


def of_location(folder: Path, count: int) -> Iterator[Targets]:
    arrays = pools.pool(LOCATION, folder)
    yield [pools.table(arrays, target, count) for target in range(pools.SHADOWS, pools.MODELS, 2)]


def measured(targets: Iterator[Targets]) -> dict[str, list[float]]:
    """AUC, TPR at 1 % FPR and calibration error of each target, with the judge of levels and without."""
    found: dict[str, list[float]] = {}
    for some in targets:
        taught = taught_by(some[0][0])
        judges = judges_of(taught.lessons, False, Seeds(0).rng("learned"))
        others = [judge for judge in judges if judge.view != "levels"]
        for signals, member in some:
            for words, asked in (("with", judges), ("without", others)):
                scores = scores_of(signals, taught, asked)
                figures = {
                    "auc": float(roc_auc_score(member, scores)),
                    "tpr": float(tpr_at(scores, member, 0.01)),
                    "ece": calibration_error(scores, member),
                }
                for name, value in figures.items():
                    found.setdefault(f"{name} {words}", []).append(round(value, 6))
    return found


def line(name: str, row: dict[str, list[float]]) -> str:
    """A row of the table in docs/learned.md."""
    cells = [name]
    for figure in ("auc", "tpr"):
        inside, without = (np.array(row[f"{figure} {words}"]) for words in ("with", "without"))
        change = inside - without
        wide = student.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
        cells += [f"{without.mean():.3f}", f"{inside.mean():.3f}"]
        cells.append(f"{change.mean():+.4f} [{change.mean() - wide:+.4f}, {change.mean() + wide:+.4f}]")
    cells += [f"{np.mean(row['ece without']):.3f}", f"{np.mean(row['ece with']):.3f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path.home() / ".cache" / "memberwise"
    parser.add_argument("--pool", action="append", choices=[*mismatch.POOLS, LOCATION], metavar="NAME")
    parser.add_argument("--pools", type=Path, default=cache / "bench-mismatch", help="those of mismatch.py")
    parser.add_argument("--location", type=Path, default=cache / "bench-attacks", help="those of measure.py")
    asked = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    names = [name for name in mismatch.POOLS if name not in (mismatch.TINY, "CIFAR-10", LOCATION)]
    for name in asked.pool or [*names, LOCATION]:
        rows = (
            {f"{name}, {count} models": of_location(asked.location, count) for count in (6, 8)}
            if name == LOCATION
            else {f"{name}, 6 models": in_turn(name, asked.pools)}
        )
        for words, targets in rows.items():
            results[words] = measured(targets)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
            print(line(words, results[words]), flush=True)


if __name__ == "__main__":
    main()
