"""Trajectories of losses (Liu et al. 2022, TrajectoryMIA) beside ``learned``.

``python benchmarks/attacks/trajectory.py [--pool NAME] [--case NAME]``. The target and each of 8 shadow models (pools
and targets of mismatch.py) are distilled on what they answer about the population, for each of six lengths of training;
a classifier learns, on shadow models, what of the students' losses and the model's own tells a member. Beside it
``learned``, and the mean of both log odds. Figures go to results/trajectory.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mismatch import CASES, POOLS, SHADOWS, Arrays, prepared, shadows_of, table, targets_of
from scipy.special import logit, softmax
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from memberwise.attacks.cascade import log_odds_of
from memberwise.auditing.prepare import Prepared
from memberwise.signals.ask import collect
from memberwise.statistics import tpr_at
from memberwise.types.arrays import Floats, Mask

RESULTS = Path(__file__).parent.parent / "results" / "trajectory.json"
# Of the epochs of a model, after which its student is asked.
PARTS = (0.04, 0.1, 0.2, 0.4, 0.7, 1.0)
NETWORKS = ("Adult", "LFW", "Fashion-like", "Location-30", "MNIST")


def students(ours: Prepared, answers: Arrays) -> Floats:
    """``(m, n, parts)`` log p_y about the audited records of students of ``m`` models, by what these answered."""
    soft = softmax(answers["population.vectors"].astype(np.float64), -1).astype(np.float32)
    questions = replace(ours.shadow_questions, early=np.zeros(0, int), early_population=np.zeros(0, int))
    found = []
    for part in PARTS:
        recipe = replace(ours.target_job.recipe, epochs=max(1, round(part * ours.target_job.recipe.epochs)))
        like = replace(ours.target_job, rows=ours.roles.population, recipe=recipe, traced=False)
        jobs = [replace(like, targets=one, seed=100 + k) for k, one in enumerate(soft)]
        with np.errstate(invalid="ignore"):  # nobody asks about what they trained on
            arrays = ours.trainer.run(jobs, partial(collect, questions=questions, vectors=False))
        found.append(arrays["audited.log_p"][:, :, 0])
    return np.stack(found, -1).astype(np.float64)


def rows_of(log_p: Floats, log_1mp: Floats, trajectory: Floats) -> Floats:
    """``(n, f)`` features of one model's records: what its students' losses were, and its own answer."""
    own = (log_p - log_1mp)[:, None]
    return np.concatenate([trajectory, np.diff(trajectory, axis=1), own, own - trajectory], 1)


def figures(scores: Floats, member: Mask) -> dict[str, float]:
    return {"auc": float(roc_auc_score(member, scores)), "tpr": float(tpr_at(scores, member, 0.01))}


def measure(pool: str, case: str, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Figures by attack and target."""
    ours, shadows, targets = prepared(POOLS[pool], {}), shadows_of(pool, folder), targets_of(pool, case, folder)
    taught, asked = students(ours, shadows), students(ours, targets)

    def rows(answers: Arrays, k: int, trajectory: Floats) -> Floats:
        return rows_of(answers["audited.log_p"][k, :, 0], answers["audited.log_1mp"][k, :, 0], trajectory[k])

    x = np.concatenate([rows(shadows, k, taught) for k in range(SHADOWS)])
    judge = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.1, max_leaf_nodes=8, random_state=0)
    judge.fit(x, shadows["trained_on"].ravel() == 1)
    found: dict[str, list[dict[str, float]]] = {"learned, 8": [], "trajectory, 8": [], "mean of log odds": []}
    for which, member in enumerate(targets["members"]):
        ours_alone = log_odds_of(table(shadows, targets, which, SHADOWS), np.random.default_rng(which))
        theirs = logit(np.clip(judge.predict_proba(rows(targets, which, asked))[:, 1], 1e-6, 1 - 1e-6))
        for name, scores in zip(found, (ours_alone, theirs, ours_alone + theirs), strict=True):
            found[name].append(figures(scores, member))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", action="append", choices=NETWORKS, metavar="NAME")
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME")
    parser.add_argument("--pools", type=Path, default=Path.home() / ".cache" / "memberwise" / "bench-mismatch")
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    run: dict[str, Any] = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    for pool in asked.pool or NETWORKS:
        for case in asked.case or ["matched"]:
            found = measure(pool, case, asked.pools)
            place = {
                name: {key: [round(row[key], 4) for row in rows] for key in rows[0]} for name, rows in found.items()
            }
            run.setdefault(pool, {})[case] = place
            asked.out.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
            cells = [f"{name} {np.mean(row['auc']):.3f}/{np.mean(row['tpr']):.3f}" for name, row in place.items()]
            print(f"{pool} | {case} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
