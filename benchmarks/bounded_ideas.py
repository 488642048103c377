"""Ideas to make PAC-private answers tell less about the pool, or answer better: each tried once, by game (ii).

``python benchmarks/bounded_ideas.py``: Location-30, a pool of 2,400, one hidden layer of 64, 30 epochs, share 7/8. Each
way of answering is asked about pool records and strangers, and about five copies of each with one column flipped and
five with one column in twenty. The attacker calls who is answered rightly, itself or on copies, one of the pool; AUCs
with DeLong's 95 % interval. Figures go into ``benchmarks/results/bounded-ideas.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.data import load
from memberwise.defences.bounded.worlds import world_rows
from memberwise.defences.output.pac import Pac
from memberwise.defences.training.pac import PacWorlds
from memberwise.models.build import build_model
from memberwise.models.network import Network
from memberwise.statistics import auc
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.targets.ensembles import Ensembles
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer
from memberwise.types.arrays import Array, Floats, Ints

FILE = Path(__file__).parent / "results/bounded-ideas.json"
POOL, ASKED, COPIES, SHARE, BUDGET, SEED = 2_400, 500, 5, 0.875, 2.0**-40, 0
# Of the worlds that must agree where the ensemble abstains instead of adding noise.
ENOUGH = 0.75
NO_ANSWER = -1
# (W, n, C) logits and (n, d) records to the labels (n,) that are answered.
Way = Callable[[Array, Array], Ints]


def main() -> None:
    dataset, rng = load("location30"), np.random.default_rng(SEED)
    rows = rng.permutation(len(dataset.y))
    pool, strangers = rows[:POOL], rows[POOL : POOL + ASKED]
    asked = np.concatenate([pool[:ASKED], strangers])
    labels = dataset.y[asked]
    x = dataset.x[asked].astype(np.float32)
    questions = [x, *(flipped(x, 1, rng) for _ in range(COPIES)), *(flipped(x, 0.05, rng) for _ in range(COPIES))]
    make = build_model(ModelConfig(hidden=(64,)), dataset.shape, len(dataset.classes)).make
    data = DataTensors.of(dataset.x, dataset.y, len(dataset.classes), torch.device("cpu"))
    trainer = StackTrainer(Network(make, torch.device("cpu")), data, Plan(32))
    job = Job(pool, Step(), Recipe.of(TrainingConfig(epochs=30)), seed=SEED + 1)
    found: dict[str, Any] = {}
    for worlds in (32, 8):
        ensemble = trainer.train([replace(job, procedure=PacWorlds(worlds, SHARE))])
        assert isinstance(ensemble, Ensembles)
        said = [ensemble.worlds(question)[0] for question in questions]
        learned = world_rows(POOL, worlds, SHARE, SEED + 1)
        absent = Absent(learned, dataset.x[pool].astype(np.float32), rng)
        ways: dict[str, Way] = {"pac": noisy(rng), "worlds that did not see the nearest record": absent}
        if worlds == 32:
            ways |= {"abstaining below 3/4 of the worlds": abstaining}
            ways |= {f"probabilities to {digits} digits": noisy(rng, "probabilities", digits) for digits in (1, 3)}
        for name, way in ways.items():
            few = questions[:1] if "probabilities" in name else questions
            answers = np.stack([way(*pair) for pair in zip(said, few, strict=False)])
            found[f"{name}, {worlds} worlds"] = told(answers, labels)
            print(name, worlds, found[f"{name}, {worlds} worlds"], flush=True)
            FILE.write_text(json.dumps(found, indent=1) + "\n")


def flipped(x: Array, share: float, rng: np.random.Generator) -> Array:
    """Copies of ``(n, d)`` 0/1 records with other columns flipped in each: one, or this share of them."""
    count = 1 if share == 1 else round(share * x.shape[1])
    columns = rng.permuted(np.tile(np.arange(x.shape[1]), (len(x), 1)), axis=1)[:, :count]
    copies = x.copy()
    np.put_along_axis(copies, columns, 1 - np.take_along_axis(x, columns, 1), 1)
    return copies


def noisy(rng: np.random.Generator, answers: str = "label", digits: int = 3) -> Way:
    """The mechanism as it is served."""
    vectors = {} if answers == "label" else {"answers": answers, "digits": digits}
    defence = Pac.model_validate({"per_question": BUDGET, "share": SHARE, **vectors})

    def answer(said: Array, x: Array) -> Ints:
        votes, state, labels = defence.votes(said, "logits"), defence.start(len(said)), []
        for place in range(said.shape[1]):
            done = defence.step(votes[:, place], state, b"a secret", rng)
            state = done.state
            labels.append(int(done.answer if answers == "label" else done.answer.argmax()))
        return np.array(labels)

    return answer


class Absent:
    """The mechanism over the worlds that did not learn the pool's record which is nearest to the question."""

    def __init__(self, learned: Array, pool: Array, rng: np.random.Generator) -> None:
        self.learned, self.pool, self.answer = learned, pool, noisy(rng)

    def __call__(self, said: Array, x: Array) -> Ints:
        apart = x.sum(1)[:, None] + self.pool.sum(1) - 2 * x @ self.pool.T
        nearest = apart.argmin(1)
        replaced = said.copy()
        for place, record in enumerate(nearest):
            out = np.flatnonzero(~self.learned[:, record])
            replaced[:, place] = said[out[np.arange(len(said)) % len(out)], place]
        return self.answer(replaced, x)


def abstaining(said: Array, x: Array) -> Ints:
    """The label on which enough worlds agree, or none."""
    votes = (said.argmax(-1)[..., None] == np.arange(said.shape[-1])).mean(0)
    return np.where(votes.max(-1) >= ENOUGH, votes.argmax(-1), NO_ANSWER)


def told(answers: Ints, labels: Ints) -> dict[str, Any]:
    """Accuracy about strangers, and what ``(1 + 16, n)`` answers tell of the pool, whose records come first."""
    right, member = (answers == labels).astype(float), np.arange(len(labels)) < ASKED
    figures: dict[str, Any] = {
        "accuracy": round(float(right[0, ~member].mean()), 4),
        "answered": round(float((answers[0, ~member] != NO_ANSWER).mean()), 4),
        "asked": ASKED,
        "gap": measured(right[0], member),
    }
    if len(answers) > 1:
        figures["one column"] = measured(right[: 1 + COPIES].mean(0), member)
        figures["one in twenty"] = measured(right[1 + COPIES :].mean(0), member)
    return figures


def measured(scores: Floats, member: Array) -> list[float]:
    """AUC with its interval."""
    estimate = auc(scores, member, 0.95)
    return [round(float(value), 4) for value in (estimate.value, estimate.low or 0, estimate.high or 1)]


if __name__ == "__main__":
    main()
