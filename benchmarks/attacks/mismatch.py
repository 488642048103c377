"""Targets trained unlike their shadow models: power and calibration of the attacks that should bear it.

    python benchmarks/attacks/mismatch.py [--pool NAME] [--case NAME] [--shadows K] [--tiny]

Each pool has 8 shadow models in complementary pairs and two targets whose pairs take no part; a mismatch trains the
targets otherwise, on the same records. Pools are trained once and kept in --pools; figures stand in
benchmarks/results/mismatch.json by pool, case, number of shadow models and attack, and what is there is not made again
(--again makes it; --attack NAME, repeatable, measures some).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mismatch_page import complete, page
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS
from memberwise.attacks.learned.attack import carried_to, judges_of, scores_of, taught_by
from memberwise.attacks.learned.carried import Carried
from memberwise.attacks.learned.comparable import answers_coarser, population_apart
from memberwise.attacks.run import score
from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.data.build import from_object
from memberwise.seeds import Seeds
from memberwise.signals.ask import collect
from memberwise.signals.codec import answers_of, early_of
from memberwise.signals.questions import Questions
from memberwise.signals.read import read_answers
from memberwise.signals.table import EarlyAnswers, Signals
from memberwise.statistics import tpr_at
from memberwise.study.schema import Study

HERE = Path(__file__).parent
SHADOWS, TARGETS, COUNTS = 8, (8, 10), (4, 8)
Arrays = dict[str, NDArray[Any]]


def study(
    source: str, members: int, epochs: int, hidden: tuple[int, ...], model: str = "mlp", **more: Any
) -> dict[str, Any]:
    data = {"source": source, "members": members, "nonmembers": members, "population": more.pop("population", 1000)}
    return {
        "data": data | {"validation": 200},
        "model": {"name": model, "hidden": hidden} if model != "cnn" else {"name": model},
        "training": {"epochs": epochs} | more.pop("training", {}),
        **more,
    }


def fashion_like() -> tuple[NDArray[Any], NDArray[Any]]:
    """Made-up garments, 28 x 28: ten silhouettes, mixed, shifted, banded and noisy; a tenth is mislabelled."""
    rng = np.random.default_rng(5)
    n, size = 6_000, 28
    y = rng.integers(0, 10, n)
    grid = np.linspace(-1, 1, size)
    coarse = rng.normal(size=(10, 3, 5, 5))
    coarse = np.stack([[np.kron(part, np.ones((6, 6)))[1:29, 1:29] for part in one] for one in coarse])
    x = np.empty((n, size, size), np.float32)
    for i in range(n):
        mix = rng.dirichlet([2.0, 0.7, 0.7])
        shape = np.tensordot(mix, coarse[y[i]], 1)
        shift = rng.integers(-3, 4, 2)
        bands = np.sin(grid * rng.uniform(2, 12) + rng.uniform(0, 6))[:, None] * rng.normal(0, 0.6)
        x[i] = np.roll(shape, shift, (0, 1)) * rng.uniform(0.5, 1.5) + bands + rng.normal(0, 0.8, (size, size))
    wrong = rng.random(n) < 0.1
    return x.reshape(n, -1) / 3, np.where(wrong, rng.integers(0, 10, n), y)


POOLS: dict[str, dict[str, Any]] = {
    "Adult": study("adult", 600, 40, (100,)),
    "Adult, forest": study("adult", 600, 1, (), model="forest"),
    "Adult, boosted trees": study("adult", 600, 1, (), model="boosted"),
    "LFW": study("lfw62", 500, 40, (100,), population=300, training={"learning_rate": 0.01}),
    "Fashion-like": study("made-up", 600, 25, (200,)),
    "CIFAR-10": study("cifar10", 500, 15, (), model="cnn"),
    "Location-30": study("location30", 600, 30, (200,)),
    "MNIST": study("mnist", 600, 20, (100, 100)),
    "Digits (rehearsal)": study("digits", 300, 10, (32,), population=300),
}
TINY = "Digits (rehearsal)"


def forest(leaf: int = 1, trees: int = 50, depth: int | None = None) -> RandomForestClassifier:
    return RandomForestClassifier(trees, min_samples_leaf=leaf, max_depth=depth)


def boosted(rounds: int = 100, rate: float = 0.1, leaves: int = 31) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=rounds, learning_rate=rate, max_leaf_nodes=leaves, early_stopping=False
    )


MODELS: dict[str, Callable[..., Any]] = {"forest": forest, "boosted": boosted}
# How the target of a case is trained otherwise: changes of the study, or of the estimator's parameters.
CASES: dict[str, dict[str, Any]] = {
    "matched": {},
    "a third of the epochs": {"epochs": 0.3},
    "three times the epochs": {"epochs": 3},
    "Adam": {"training": {"optimizer": "adam", "learning_rate": 0.001}},
    "weight decay": {"training": {"weight_decay": 0.003}},
    "label smoothing": {"training": {"label_smoothing": 0.1}},
    "early stopping": {"training": {"patience": 3}},
    "mixup": {"training": {"augment": ["mixup"]}},
    "flips": {"training": {"augment": ["flip"]}},
    "small": {"hidden": (30,)},
    "deep": {"hidden": (100, 100, 100)},
    "dropout": {"dropout": 0.5},
    "half the data": {"half": True},
    "quantised answers": {"quantised": True},
    "other population": {"population": True},
    "leaves of five": {"parameters": {"leaf": 5}},
    "ten trees": {"parameters": {"trees": 10}},
    "shallow": {"parameters": {"depth": 8}},
    "a third of the rounds": {"parameters": {"rounds": 30}},
    "three times the rounds": {"parameters": {"rounds": 300}},
    "slow": {"parameters": {"rate": 0.03}},
    "small trees": {"parameters": {"leaves": 7}},
}
ANSWERS = ("half the data", "quantised answers", "other population")
NETWORK = ("a third of the epochs", "three times the epochs", "Adam", "weight decay", "label smoothing",
           "early stopping", "mixup", "small", "deep", "dropout")  # fmt: skip


def cases_of(pool: str) -> list[str]:
    """Those that make sense there."""
    model = POOLS[pool]["model"]["name"]
    if model == "forest":
        return ["matched", "leaves of five", "ten trees", "shallow", *ANSWERS]
    if model == "boosted":
        return ["matched", "a third of the rounds", "three times the rounds", "slow", "small trees", *ANSWERS]
    if model == "cnn":
        unfit = ("small", "deep")
        return ["matched", *(name for name in NETWORK if name not in unfit), "flips", *ANSWERS]
    return ["matched", *NETWORK, *ANSWERS]


def prepared(wanted: dict[str, Any], parameters: dict[str, Any]) -> Prepared:
    """The study made ready; estimators and made-up data are given as objects."""
    wanted = json.loads(json.dumps(wanted)) | {"shadow": {"count": SHADOWS}, "run": {"seed": 3, "device": "cpu"}}
    wanted["plan"] = {"threads": 1, "compile": False, "precision": "float32", "stack": 8}
    given: dict[str, Any] = {}
    if wanted["model"]["name"] in MODELS:
        given["model"] = MODELS[wanted["model"]["name"]](**parameters)
        del wanted["model"], wanted["training"], wanted["data"]["validation"]
        wanted["plan"] = {"threads": 1, "stack": 8}
    if wanted["data"]["source"] == "made-up":
        given["dataset"] = from_object(fashion_like(), source="made-up")
    return prepare(resolve(Study.model_validate(wanted)), Inputs(**given))


def changed(wanted: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    """The study by which the targets of a case are trained."""
    wanted = json.loads(json.dumps(wanted))
    wanted["training"] |= case.get("training", {})
    wanted["training"]["epochs"] = max(1, round(wanted["training"]["epochs"] * case.get("epochs", 1)))
    wanted["model"] |= {name: case[name] for name in ("hidden", "dropout") if name in case}
    return wanted


def kept(folder: Path, wanted: object, make: Callable[[], Arrays]) -> Arrays:
    """Arrays made once."""
    path = folder / f"{hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        arrays = make()
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(part, path)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def shadows_of(name: str, folder: Path, population: bool = False) -> Arrays:
    """The pool's shadow models, and its records; ``population``: they are asked about a population of another kind."""

    def make() -> Arrays:
        ours = prepared(POOLS[name], {})
        jobs = [ours.shadow_job(k) for k in range(SHADOWS)]
        numbers = {job.seed: k for k, job in enumerate(jobs)}
        questions = of_another_kind(ours.shadow_questions) if population else ours.shadow_questions
        ask = partial(collect, questions=questions, vectors=True, numbers=numbers)
        roles = ours.roles
        return ours.trainer.run(jobs, ask) | {
            "trained_on": np.array([np.isin(roles.audited, job.rows) for job in jobs], np.int8),
            "labels": ours.dataset.y[roles.audited],
            "index": roles.audited,
            "population_labels": ours.dataset.y[roles.population],
        }

    return kept(folder, [name, POOLS[name], SHADOWS, *(["other population"] if population else [])], make)


def of_another_kind(questions: Questions) -> Questions:
    """Each population record becomes the mean of two."""
    x, rows = np.array(questions.x), questions.population
    beside = np.random.default_rng(2).permutation(rows)
    x[rows] = ((x[rows].astype(np.float32) + x[beside].astype(np.float32)) / 2).astype(x.dtype)
    return replace(questions, x=x)


def targets_of(name: str, case: str, folder: Path) -> Arrays:
    """The case's targets."""
    change = CASES[case]

    def make() -> Arrays:
        ours = prepared(changed(POOLS[name], change), change.get("parameters", {}))
        jobs, questions = [ours.shadow_job(k) for k in TARGETS], ours.shadow_questions
        if change.get("half"):
            halves = np.random.default_rng(1)
            jobs = [replace(job, rows=np.sort(halves.permutation(job.rows)[: len(job.rows) // 2])) for job in jobs]
        if change.get("population"):
            questions = of_another_kind(questions)
        arrays = ours.trainer.run(jobs, partial(collect, questions=questions, vectors=True))
        rows = ours.roles.audited
        return {key: value for key, value in arrays.items() if not key.startswith("early")} | {
            "members": np.array([np.isin(rows, job.rows) for job in jobs])
        }

    quiet = {key: value for key, value in change.items() if key != "quantised"}
    return kept(folder, [name, POOLS[name], quiet, TARGETS], make)


def table(shadows: Arrays, targets: Arrays, which: int, count: int, quantised: bool = False) -> Signals:
    """The table of signals with the first so many shadow models."""
    own, some = ({key: value[part] for key, value in arrays.items() if _by_model(key)}
                 for arrays, part in ((targets, slice(which, which + 1)), (shadows, slice(count))))  # fmt: skip
    target, world = answers_of(own, "audited"), answers_of(own, "population")
    if target is None or world is None:
        raise ValueError("the pool holds no answers")
    labels, of_world = shadows["labels"].astype(np.int64), shadows["population_labels"].astype(np.int64)
    if quantised:
        target, world = (rounded(answers, y) for answers, y in ((target, labels), (world, of_world)))
    more: dict[str, Any] = {}
    if audited := early_of(some):
        records, positions = (some[f"early{part}.positions"][0] for part in ("", ".population"))
        more["early"] = EarlyAnswers(records, audited, early_of(some, ".population"), positions)
    return Signals(
        shadows["index"],
        labels,
        target,
        answers_of(some, "audited"),
        shadows["trained_on"][:count],
        population_target=world,
        population_shadows=answers_of(some, "population"),
        population_labels=of_world,
        members=float(targets["members"][which].mean()),
        **more,
    )


def _by_model(key: str) -> bool:
    return key not in ("labels", "index", "population_labels", "trained_on", "members")


def rounded(answers: Any, labels: NDArray[np.int64]) -> Any:
    """Two decimals are answered; a 0 is taken for half of the last."""
    vectors = answers.vectors.astype(np.float64)
    p = np.exp(vectors - logsumexp(vectors, axis=-1, keepdims=True)) if answers.kind == "logits" else vectors
    logs = np.log(np.maximum(np.round(p, 2), 0.005))
    return read_answers(logs[:, :, None], labels, "logits")


def base_at(signals: Signals, temperature: float) -> NDArray[np.float64]:
    """BASE with the softmax at a temperature."""

    def log_p(answers: Any) -> NDArray[np.float64]:
        vectors = answers.vectors.astype(np.float64)
        logits = vectors if answers.kind == "logits" else np.log(np.maximum(vectors, answers.floor or 1e-30))
        logits = logits / temperature
        here = np.broadcast_to(signals.labels[None, :, None], (*logits.shape[:2], 1))
        return np.take_along_axis(logits, here, -1)[..., 0] - logsumexp(logits, axis=-1)

    mine, others = log_p(signals.target)[0], log_p(signals.shadows)
    halves = [logsumexp(np.where(side, others, -np.inf), 0) - np.log(side.sum(0))
              for side in (signals.is_in, signals.is_out)]  # fmt: skip
    return np.asarray(mine - np.logaddexp(*halves))


def matched_scale(signals: Signals) -> float:
    """By how much the target's logits are scaled so that phi spreads over the population as the shadow models'."""
    here, there = signals.population_target, signals.population_shadows
    if here is None or there is None:
        raise ValueError("the scale is matched on population records")
    return float(there.phi[:, :, 0].std(1).mean() / here.phi[0, :, 0].std())


def base_matched(signals: Signals) -> NDArray[np.float64]:
    """Sum of BASE at T = 2 on the matched scale and at T = 2.8 as answered."""
    vectors, kind = signals.target.vectors, signals.target.kind
    if vectors is None:
        raise ValueError("the target's answers are vectors")
    logits = vectors if kind == "logits" else np.log(np.maximum(vectors, signals.target.floor or 1e-30))
    logits = logits * np.float32(matched_scale(signals))
    scaled = replace(signals, target=replace(signals.target, vectors=logits, kind="logits"))
    return base_at(scaled, 2.0) + base_at(signals, 2.8)


def calibration_error(scores: NDArray[np.float64], member: NDArray[np.bool_]) -> float:
    """Expected calibration error, ten bins of equal width, members and others weighing alike."""
    bins = np.minimum((scores * 10).astype(int), 9)
    weight = np.where(member, 0.5 / member.sum(), 0.5 / (~member).sum())
    off = np.bincount(bins, weight * (scores - member), 10)
    return float(np.abs(off).sum())


class Learned:
    """`learned` and `learned-offline` for several targets of the same shadow models, which teach once."""

    def __init__(self, signals: Signals) -> None:
        self.taught = taught_by(signals)
        self.judges = {
            name: judges_of(self.taught.lessons, offline, Seeds(0).rng(name)) for name, offline in OFFLINE.items()
        }

    def __call__(self, name: str, signals: Signals) -> NDArray[np.float64]:
        return scores_of(signals, self.taught, self.judges[name])

    def carried(self, signals: Signals) -> Carried:
        return carried_to(signals, self.taught)

    def calibrated(self, signals: Signals) -> bool:
        alike = not population_apart(signals) and not answers_coarser(signals)
        return alike and not self.carried(signals).contradicted


OFFLINE = {"learned": False, "learned-offline": True}


def measured(
    signals: Signals, member: NDArray[np.bool_], names: list[str], teachers: list[Learned]
) -> dict[str, dict[str, float]]:
    """AUC, TPR at 1 % FPR and, of probabilities, the calibration error, by attack."""
    rows: dict[str, dict[str, float]] = {}
    own = {"base T=2": lambda: base_at(signals, 2.0), "base-matched": lambda: base_matched(signals)}
    if not teachers and set(OFFLINE) & set(names):
        teachers.append(Learned(signals))
    own |= {name: partial(teachers[0], name, signals) for name in OFFLINE if teachers}
    for name in names:
        if name in own:
            values: NDArray[np.float64] | None = own[name]()
        else:
            values, _ = score(signals, ATTACKS[name], Seeds(0).rng(name))
        if values is None:
            continue
        rows[name] = {"auc": float(roc_auc_score(member, values)), "tpr": float(tpr_at(values, member, 0.01))}
        if name.startswith("learned"):
            rows[name]["ece"] = calibration_error(values, member)
            sure = values > 0.9
            rows[name] |= {"mean": float(values.mean()), "sure": float(sure.mean())}
            rows[name]["calibrated"] = float(teachers[0].calibrated(signals))
            rows[name]["evidence"] = teachers[0].carried(signals).evidence
            rows[name] |= {"precision": float(member[sure].mean())} if sure.any() else {}
    return rows


NAMES = ["lira-online-fixed", "base T=2", "rmia-online", "loss", "base-matched", "learned", "learned-offline"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", action="append", choices=list(POOLS), metavar="NAME")
    parser.add_argument("--case", action="append", choices=list(CASES), metavar="NAME")
    parser.add_argument("--shadows", action="append", type=int, choices=range(2, SHADOWS + 1), metavar="K")
    parser.add_argument("--pools", type=Path, default=Path.home() / ".cache" / "memberwise" / "bench-mismatch")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "mismatch.json")
    parser.add_argument("--page", type=Path, default=HERE / "mismatch.md", help="the page made from it")
    parser.add_argument("--attack", action="append", choices=NAMES, metavar="NAME")
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    parser.add_argument("--tiny", action="store_true", help="digits, three cases: shows that it runs")
    asked = parser.parse_args()
    found: dict[str, Any] = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else {}
    names = asked.attack or NAMES
    for pool in [TINY] if asked.tiny else asked.pool or [name for name in POOLS if name != TINY]:
        teachers = dict[tuple[bool, int], list[Learned]]()
        cases = asked.case or (["matched", "a third of the epochs", "quantised answers"] if asked.tiny else None)
        for case in [name for name in cases_of(pool) if cases is None or name in cases]:
            targets, quantised = targets_of(pool, case, asked.pools), bool(CASES[case].get("quantised"))
            other = bool(CASES[case].get("population"))
            shadows = shadows_of(pool, asked.pools, other)
            for count in asked.shadows or COUNTS:
                place = found.setdefault(pool, {}).setdefault(case, {}).setdefault(str(count), {})
                todo = [name for name in names if asked.again or name not in place]
                each: dict[str, list[dict[str, float]]] = {}
                for which, member in enumerate(targets["members"] if todo else []):
                    signals = table(shadows, targets, which, count, quantised)
                    for name, row in measured(signals, member, todo, teachers.setdefault((other, count), [])).items():
                        each.setdefault(name, []).append(row)
                for name, rows in each.items():
                    keys = set.intersection(*(set(row) for row in rows))
                    place[name] = {key: [round(row[key], 4) for row in rows] for key in sorted(keys)}
                if each:
                    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                print(line(pool, case, count, place), flush=True)
    if complete(found) and not asked.tiny:
        asked.page.write_text(page(found), encoding="utf-8")
    return 0


def line(pool: str, case: str, count: int, place: dict[str, dict[str, list[float]]]) -> str:
    """One row of the table: AUC / TPR at 1 % (and calibration error) by attack, means over targets."""

    def cell(name: str, row: dict[str, list[float]]) -> str:
        ece = f" ece {np.mean(row['ece']):.3f}" if "ece" in row else ""
        return f"{name} {np.mean(row['auc']):.4f}/{np.mean(row['tpr']):.3f}{ece}"

    return f"{pool} | {case} | k={count} | " + " | ".join(cell(name, row) for name, row in place.items())


if __name__ == "__main__":
    sys.exit(main())
