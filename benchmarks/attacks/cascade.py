"""Cascades beside ``learned`` at equal cost, of targets trained as the shadow models were and otherwise.

    python benchmarks/attacks/cascade.py [--pool NAME] [--case NAME] [--first K] [--rounds R] [--tiny]

Pools, cases and targets are those of mismatch.py, and one more case, "null": targets which trained on no audited record
at all (who is called a member of them is drawn). The first K shadow models of a pool come before the cascade, those of
its rounds are trained here. Figures stand in benchmarks/results/cascade.json by pool, case and attack ("learned, 8";
"cascade, 4 + 4"), one a target; what is there is not made again (--again makes it).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cascade_page import page
from mismatch import (
    CASES,
    POOLS,
    TARGETS,
    TINY,
    Arrays,
    calibration_error,
    cases_of,
    kept,
    of_another_kind,
    prepared,
    shadows_of,
    table,
)
from mismatch import targets_of as trained_targets_of
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from memberwise.attacks.cascade import after, balanced, believed, log_odds_of, released, released_table, sides
from memberwise.attacks.learned.attack import carried_over_to
from memberwise.auditing.prepare import Prepared
from memberwise.signals.ask import collect
from memberwise.signals.questions import Questions
from memberwise.signals.rounds import Round
from memberwise.signals.table import Signals
from memberwise.statistics import tpr_at
from memberwise.types.arrays import Floats, Mask

RESULTS = Path(__file__).parent.parent / "results" / "cascade.json"
# Shadow models before the cascade, and rounds of four after these, by default.
WAYS = ((4, 1), (8, 2))
NULL = "null"


def null_targets_of(name: str, folder: Path) -> Arrays:
    """Targets that trained on as many records of no role; half of the audited ones are called members."""

    def make() -> Arrays:
        ours = prepared(POOLS[name], {})
        roles, rng = ours.roles, np.random.default_rng(4)
        used = np.concatenate([roles.audited, roles.population, roles.validation])
        free = np.setdiff1d(np.arange(ours.dataset.records), used)
        jobs = [ours.shadow_job(k) for k in TARGETS]
        size = min(len(jobs[0].rows), len(free))
        jobs = [replace(job, rows=np.sort(rng.choice(free, size, replace=False)), early=False) for job in jobs]
        with np.errstate(invalid="ignore"):  # of what they trained on they are asked nothing
            arrays = ours.trainer.run(jobs, partial(collect, questions=ours.shadow_questions, vectors=True))
        half = np.arange(len(roles.audited)) % 2 == 0
        return {key: value for key, value in arrays.items() if not key.startswith("early")} | {
            "members": np.array([rng.permutation(half) for _ in jobs])
        }

    return kept(folder, [name, POOLS[name], NULL, TARGETS], make)


def trained(ours: Prepared, inside: list[Mask], seed: int, shadows: Arrays, questions: Questions) -> Arrays:
    """A round's models, with what goes beside their answers in a pool."""
    audited, like = ours.roles.audited, ours.shadow_job(0)
    jobs = [replace(like, rows=audited[side], seed=seed + k) for k, side in enumerate(inside)]
    arrays = ours.trainer.run(jobs, partial(collect, questions=questions, vectors=True))
    beside = {key: shadows[key] for key in ("labels", "index", "population_labels")}
    return arrays | beside | {"trained_on": np.array(inside, np.int8)}


def figures(log_odds: Floats, member: NDArray[np.bool_]) -> dict[str, float]:
    """Of one target; records without log odds come last."""
    known = ~np.isnan(log_odds)
    scores, p = np.where(known, log_odds, -1e9), expit(log_odds[known])
    sure = p > 0.9
    return {
        "auc": float(roc_auc_score(member, scores)),
        "tpr": float(tpr_at(scores, member, 0.01)),
        "ece": calibration_error(p, member[known]),
        "sure": float(sure.mean()),
        "precision": float(member[known][sure].mean()) if sure.any() else 1.0,
        "mean": float(p.mean()),
    }


def cascaded(
    make: Callable[[Arrays, int], Signals],
    ours: Prepared,
    shadows: Arrays,
    questions: Questions,
    first: int,
    rounds: int,
    which: int,
) -> list[Floats]:
    """Log odds ``(n,)`` before a cascade on a target and after each of its rounds.

    Args:
        make: the table of the target beside so many of a pool's first models.
    """
    rng = np.random.default_rng([which, first])
    signals = make(shadows, first)
    found = [log_odds_of(signals, rng)]
    prior = balanced(found[0], signals.members)
    for number in range(rounds):
        p = believed(prior, signals.members)
        free = released(p, None, rng)
        inside = list(sides(p, free, None, rng))
        own = trained(ours, inside, 10_000 * (which + 1) + 100 * first + 10 * number, shadows, questions)
        one = Round(prior, free, make(own, len(inside)))
        prior = after(one, released_table(one), carried_over_to(signals), rng)
        found.append(prior)
    return found


def measure(pool: str, case: str, folder: Path, ways: list[tuple[int, int]]) -> dict[str, list[dict[str, float]]]:
    """Figures by attack and target."""
    change = CASES.get(case, {})
    targets = null_targets_of(pool, folder) if case == NULL else trained_targets_of(pool, case, folder)
    shadows, ours = shadows_of(pool, folder, bool(change.get("population"))), prepared(POOLS[pool], {})
    questions = of_another_kind(ours.shadow_questions) if change.get("population") else ours.shadow_questions
    found: dict[str, list[dict[str, float]]] = {}
    for which, member in enumerate(targets["members"]):

        def make(models: Arrays, count: int, which: int = which) -> Signals:
            return table(models, targets, which, count, bool(change.get("quantised")))

        for first, rounds in ways:
            for number, log_odds in enumerate(cascaded(make, ours, shadows, questions, first, rounds, which)):
                name = f"cascade, {first} + {4 * number}" if number else f"learned, {first}"
                found.setdefault(name, []).append(figures(log_odds, member))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", action="append", choices=list(POOLS), metavar="NAME")
    parser.add_argument("--case", action="append", choices=[*CASES, NULL], metavar="NAME")
    parser.add_argument("--first", type=int, help="shadow models before the cascade; 4 and 8")
    parser.add_argument("--rounds", type=int, default=2, help="with --first")
    parser.add_argument("--pools", type=Path, default=Path.home() / ".cache" / "memberwise" / "bench-mismatch")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=Path(__file__).parent / "cascade.md", help="the page made from it")
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    parser.add_argument("--tiny", action="store_true", help="digits, two cases: shows that it runs")
    asked = parser.parse_args()
    ways = [(asked.first, asked.rounds)] if asked.first else list(WAYS)
    run: dict[str, Any] = json.loads(asked.out.read_text("utf-8")) if asked.out.exists() else {}
    for pool in [TINY] if asked.tiny else asked.pool or [name for name in POOLS if name != TINY]:
        for case in asked.case or (["matched", NULL] if asked.tiny else [*cases_of(pool), NULL]):
            place = run.setdefault(pool, {}).setdefault(case, {})
            todo = [way for way in ways if asked.again or f"cascade, {way[0]} + {4 * way[1]}" not in place]
            for name, rows in measure(pool, case, asked.pools, todo).items() if todo else ():
                place[name] = {key: [round(row[key], 4) for row in rows] for key in rows[0]}
                asked.out.write_text(json.dumps(run, indent=1) + "\n", "utf-8")
            print(line(pool, case, place), flush=True)
    if not asked.tiny:
        asked.page.write_text(page(run), "utf-8")


def line(pool: str, case: str, place: dict[str, dict[str, list[float]]]) -> str:
    """AUC, TPR at 1 % and calibration error, means over targets."""

    def cell(row: dict[str, list[float]]) -> str:
        return "/".join(f"{np.mean(row[key]):.3f}" for key in ("auc", "tpr", "ece"))

    return f"{pool} | {case} | " + " | ".join(f"{name} {cell(row)}" for name, row in place.items())


if __name__ == "__main__":
    main()
