"""What ``share`` buys in PAC-private answers, and how far booked nats lie above the truth.

``python benchmarks/bounded_answers.py shares location30|mnist [--hidden 64] [--epochs 30]``: worlds trained on 1/2,
3/4, 7/8 and 31/32 of a pool, and one model on all of it, are asked 2,000 questions about strangers and 2,000 about the
pool, each record once, at 2^-40 nats a question. Strangers are of the source's own test part where it has one (MNIST).
Game (ii) is played by the gap attack alone: a record answered rightly is said to be in the pool. ``... nats``: the
information that random tables tell, by Monte Carlo, beside what is booked. Figures go into
``benchmarks/results/bounded-answers.json``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.data import load
from memberwise.defences.bounded.pac import balanced_success, noise_scales, release
from memberwise.defences.output.pac import Pac, PacState
from memberwise.defences.training.pac import PacWorlds
from memberwise.models.build import build_model
from memberwise.models.network import Network
from memberwise.statistics.intervals import newcombe_difference, wilson
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.targets.ensembles import Ensembles
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer
from memberwise.types.arrays import Array, Floats, Ints

FILE = Path(__file__).parent / "results/bounded-answers.json"
POOL, QUESTIONS, WORLDS, BUDGET = {"location30": 2_400, "mnist": 2_000}, 2_000, 32, 2.0**-40
SHARES = ("1/2", "3/4", "7/8", "31/32")
DRAWS = 20_000
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["shares", "nats"])
    parser.add_argument("data", nargs="?", choices=list(POOL))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--hidden", type=int, default=64, help="width of the one hidden layer")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    kept: Figures = json.loads(FILE.read_text()) if FILE.exists() else {}
    if given.part == "nats":
        kept["nats"] = nats(given.seed)
    else:
        kept.setdefault("shares", {})[given.data] = shares(given.data, given.hidden, given.epochs, given.seed)
    FILE.write_text(json.dumps(kept, indent=1) + "\n")


def shares(name: str, hidden: int, epochs: int, seed: int) -> Figures:
    """The undefended model, and the ensemble at each share."""
    dataset = load(name)
    rows = np.random.default_rng(seed).permutation(len(dataset.y))
    own = np.zeros(len(rows), bool) if dataset.test is None else np.isin(rows, dataset.test)
    pool, rest = rows[~own][: POOL[name]], rows[~own][POOL[name] :] if dataset.test is None else rows[own]
    strangers = rest[:QUESTIONS]
    make = build_model(ModelConfig(hidden=(hidden,)), dataset.shape, len(dataset.classes)).make
    data = DataTensors.of(dataset.x, dataset.y, len(dataset.classes), torch.device("cpu"))
    trainer = StackTrainer(Network(make, torch.device("cpu")), data, Plan(WORLDS))
    job = Job(pool, Step(), Recipe.of(TrainingConfig(epochs=epochs)), seed=seed + 1)
    asked = np.concatenate([strangers, pool[:QUESTIONS]])
    x = data.records(torch.from_numpy(asked)).float().numpy()

    plain = trainer.train([job]).predict(x)[0].argmax(-1)
    found: Figures = {
        "pool": len(pool),
        "hidden": hidden,
        "epochs": epochs,
        "seed": seed,
        "plain": against(plain, dataset.y[asked]),
    }
    print(name, "undefended", found["plain"], flush=True)
    for share in SHARES:
        ensemble = trainer.train([replace(job, procedure=PacWorlds(WORLDS, float(Fraction(share))))])
        assert isinstance(ensemble, Ensembles)
        found[share] = answered(ensemble.worlds(x)[0], dataset.y[asked], float(Fraction(share)), seed)
        print(name, share, found[share], flush=True)
    return found


def answered(worlds: Array, labels: Ints, share: float, seed: int) -> Figures:
    """What the worlds ``(W, n, C)`` answer by themselves, and one of them by the defence."""
    defence, rng = Pac(per_question=BUDGET, share=share), np.random.default_rng(seed)
    votes, single = defence.votes(worlds, "logits"), worlds.argmax(-1)
    agree = (single == single[0]).all(0)
    answers, state = np.zeros(len(labels), int), defence.start(len(worlds))
    for place in range(len(labels)):
        done = defence.step(votes[:, place], state, b"a secret", rng)
        answers[place], state = done.answer, done.state
    majority = votes.sum(0).argmax(-1)
    return {
        "world_accuracy": round(float((single == labels)[:, :QUESTIONS].mean()), 4),
        "majority_accuracy": round(float((majority == labels)[:QUESTIONS].mean()), 4),
        "agree_strangers": round(float(agree[:QUESTIONS].mean()), 4),
        "agree_pool": round(float(agree[QUESTIONS:].mean()), 4),
        "right_where_agreed": round(float((single[0] == labels)[:QUESTIONS][agree[:QUESTIONS]].mean()), 4),
        **against(answers, labels),
        **bounded(defence, state),
    }


def bounded(defence: Pac, state: PacState) -> Figures:
    # By the most that so many questions can tell, as in an audit: what they did cost is no guarantee.
    return {
        "nats": state.nats,
        "game_one_bound": balanced_success(state.questions * defence.cost, defence.share),
    }


def against(answers: Ints, labels: Ints) -> Figures:
    """Accuracy about strangers, and the gap attack's accuracy in game (ii), each with its 95 % interval."""
    right = answers == labels
    strangers, pool = int(right[:QUESTIONS].sum()), int(right[QUESTIONS:].sum())
    low, high = newcombe_difference(pool, QUESTIONS, strangers, QUESTIONS, 0.95)
    return {
        "accuracy": round(strangers / QUESTIONS, 4),
        "accuracy_interval": [round(end, 4) for end in wilson(strangers, QUESTIONS, 0.95)],
        "gap_attack": round((1 + (pool - strangers) / QUESTIONS) / 2, 4),
        "gap_attack_interval": [round((1 + end) / 2, 4) for end in (low, high)],
        "questions": QUESTIONS,
    }


def nats(seed: int) -> list[Figures]:
    """Over random tables: the mutual information that is told, as a share of the nats that are booked."""
    rng, found = np.random.default_rng(seed), []
    for worlds in (2, 3, 16):
        for exponent in (-20, -10, -4, -2, 0, 2):
            shares = [told(table(worlds, rng), 2.0**exponent, rng) for _ in range(20)]
            found.append(
                {
                    "worlds": worlds,
                    "budget": f"2^{exponent}",
                    "tables": len(shares),
                    "draws": DRAWS,
                    "told_of_booked": [round(float(np.quantile(shares, q)), 5) for q in (0, 0.5, 1)],
                }
            )
            print(found[-1], flush=True)
    return found


def table(worlds: int, rng: np.random.Generator) -> Floats:
    """One-hot answers over four classes, not all alike."""
    labels = rng.integers(0, 4, worlds)
    labels[0] = (labels[1] + 1) % 4
    return np.asarray(np.eye(4)[labels])


def told(answers: Floats, budget: float, rng: np.random.Generator) -> float:
    """Information by Monte Carlo over what is booked; what is known of the draws' mean in closed form is not drawn."""
    weights = np.full(len(answers), 1 / len(answers))
    basis, variances = noise_scales(answers, weights, budget)
    places = answers @ basis / np.sqrt(variances)
    half = rng.standard_normal((DRAWS // 2, len(variances)))
    z = np.concatenate([half, -half])
    total = 0.0
    for own in places:
        apart = own - places
        squares = 0.5 * (apart**2).sum(1)
        logs = -z @ apart.T - squares  # of each world's density over the secret one's
        rest = np.log(np.exp(logs).mean(1)) - logs.mean(1)
        # Nearly half of the logarithms' variance over the worlds, whose mean is known.
        control = 0.5 * logs.var(1)
        slope = np.cov(rest, control)[0, 1] / control.var(ddof=1)
        known = 0.5 * (apart.var(0).sum() + squares.var())
        total += squares.mean() - float((rest - slope * (control - known)).mean())
    booked = float(release(answers, weights, 0, budget, np.zeros(4)).nats)
    return total / len(answers) / booked


if __name__ == "__main__":
    main()
