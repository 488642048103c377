"""Does a finite pool change a record's own risk? Shadow models of one audited pool beside models of fresh records.

``python benchmarks/finite_pool.py [--pairs 16]``: MNIST, an MLP, 500 records a model. A record's AUC_i from pairs of
one pool of 1,000 records, as an audit has them, and from pairs of which each draws its other records anew from the rest
of the data, so that no two share more than the focus records. Writes results/finite-pool.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.signals.ask import collect
from memberwise.statistics.personal import cross_pair_auc, pair_correlation
from memberwise.study.schema import Study

FOCUS, EACH = 200, 500
Rows = NDArray[np.int64]


def study(seed: int) -> Study:
    return Study.model_validate(
        {
            "data": {"source": "mnist", "members": EACH, "nonmembers": EACH, "population": 100},
            "model": {"name": "mlp", "hidden": [100, 100]},
            "training": {"epochs": 15},
            "run": {"seed": seed, "device": "cpu"},
        }
    )


def sides(ours: Prepared, rows: list[Rows], focus: Rows) -> tuple[NDArray[Any], NDArray[Any]]:
    """IN and OUT scaled logits ``(p, n)`` of the focus records, of models trained on these rows, two a pair."""
    questions = replace(ours.shadow_questions, audited=focus, population=focus[:0])
    jobs = [replace(ours.shadow_job(k), rows=np.sort(part)) for k, part in enumerate(rows)]
    block, parts = ours.trainer.describe().block, []
    for first in range(0, len(jobs), block):
        some = jobs[first : first + block]
        parts.append(collect(ours.trainer.train(some), some, questions, vectors=False))
    phi = np.concatenate([part["audited.log_p"] - part["audited.log_1mp"] for part in parts])[:, :, 0].astype(float)
    of_first = np.array([np.isin(focus, part) for part in rows[::2]])
    return np.where(of_first, phi[::2], phi[1::2]), np.where(of_first, phi[1::2], phi[::2])


def drawn(ours: Prepared, focus: Rows, pairs: int, rng: np.random.Generator, fresh: bool) -> list[Rows]:
    """Rows of two models a pair: a half of the focus each, and of the pool's others, or of records drawn anew."""
    others = np.setdiff1d(ours.roles.audited, focus)
    rest = np.setdiff1d(np.arange(ours.dataset.records), np.concatenate([ours.roles.audited, ours.roles.population]))
    rows = []
    for _ in range(pairs):
        mine = rng.permutation(focus)
        more = rng.choice(rest, len(others), replace=False) if fresh else rng.permutation(others)
        rows += [
            np.concatenate([mine[: FOCUS // 2], more[: len(more) // 2]]),
            np.concatenate([mine[FOCUS // 2 :], more[len(more) // 2 :]]),
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    ours, rng = prepare(resolve(study(asked.seed)), Inputs()), np.random.default_rng(asked.seed)
    focus = np.sort(rng.permutation(ours.roles.audited)[:FOCUS])
    found: dict[str, Any] = {"pairs": asked.pairs, "focus": FOCUS, "each": EACH, "seed": asked.seed}
    aucs = {}
    for name, fresh in (("pool", False), ("fresh", True), ("fresh again", True)):
        inside, outside = sides(ours, drawn(ours, focus, asked.pairs, rng, fresh), focus)
        aucs[name] = cross_pair_auc(inside, outside)
        spread = float(np.median(outside.std(0, ddof=1)))
        found[name] = {
            "mean": float(aucs[name].mean()),
            "se": float(aucs[name].std(ddof=1) / np.sqrt(FOCUS)),
            "above_0.9": float((aucs[name] > 0.9).mean()),
            "correlation_in_pairs": pair_correlation(inside, outside),
            "out_spread": spread,
        }
    for one, other in (("pool", "fresh"), ("fresh again", "fresh")):
        apart = aucs[one] - aucs[other]
        found[f"{one} less {other}"] = {"mean": float(apart.mean()), "se": float(apart.std(ddof=1) / np.sqrt(FOCUS))}
    path = Path(__file__).parent / "results" / "finite-pool.json"
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
