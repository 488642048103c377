"""Pools of shadow models, trained once by our engine and kept: 64 to learn on and 8 pairs, one of each a target."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.resolve import resolve
from memberwise.signals.ask import collect
from memberwise.signals.codec import VECTOR_MODELS, answers_of, early_of, join
from memberwise.signals.table import Answers, EarlyAnswers, Signals
from memberwise.signals.temperature import EVERYWHERE, TUNED, temperatures_in_use
from memberwise.study.schema import Study

SHADOWS, TARGETS = 64, 8
MODELS = SHADOWS + 2 * TARGETS
SHADOWS_KEEP = temperatures_in_use("tuned")
# Any model may be the target, whose answers are kept at more temperatures; a number for what a pool's file holds.
TEMPERATURES, FORMAT = tuple(sorted({*EVERYWHERE, *TUNED})), 3
Arrays = dict[str, NDArray[Any]]

# One precision everywhere: processors without bfloat16 of their own take six times as long in it.
CIFAR_PLAN = {"stack": 1, "precision": "float32", "memory_format": "channels_last", "threads": 1}


def study(
    source: str, model: str, members: int, epochs: int, hidden: tuple[int, ...] = (200, 200), **rest: Any
) -> dict[str, Any]:
    records = {"source": source, "members": members, "nonmembers": members, "population": 1000}
    training = {"epochs": epochs} | rest.pop("training", {})
    return {"data": records, "model": {"name": model, "hidden": hidden}, "training": training, **rest}


POOLS = {
    "Location-30": study("location30", "mlp", 1200, 30, (200,)),
    "MNIST, 2,000 records": study("mnist", "mlp", 1000, 20),
    "MNIST, 6,000 records": study("mnist", "mlp", 3000, 20),
    "Adult": study("adult", "mlp", 1000, 60),
    "CIFAR-10": study("cifar10", "cnn", 1500, 15, training={"augment": ["flip"]}, queries="mirror", plan=CIFAR_PLAN),
    "Digits (rehearsal)": study("digits", "mlp", 300, 5, (32,)),
}


def pool(name: str, folder: Path) -> Arrays:
    """The pool's arrays, model first; trained if the folder does not have them."""
    wanted = POOLS[name] | {"shadow": {"count": MODELS}, "run": {"seed": 1, "device": "cpu"}}
    digest = hashlib.sha256(f"{FORMAT}{json.dumps(wanted, sort_keys=True)}".encode()).hexdigest()[:12]
    path = folder / f"{wanted['data']['source']}-{digest}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **train(Study.model_validate(wanted)))  # type: ignore[arg-type]
        os.replace(part, path)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def train(wanted: Study) -> Arrays:
    """Train the models and ask them, each with full answers, as an audit's target and first shadow models are."""
    ours = prepare(resolve(wanted), Inputs())
    jobs = [ours.shadow_job(k) for k in range(MODELS)]
    questions = replace(ours.shadow_questions, temperatures=TEMPERATURES)
    ask = partial(collect, questions=questions, vectors=True)
    parts = [
        ours.trainer.run(jobs[k : k + ours.trainer.describe().block], ask)
        for k in range(0, MODELS, ours.trainer.describe().block)
    ]
    arrays = join(parts, MODELS)
    audited = ours.roles.audited
    return arrays | {
        "trained_on": np.array([np.isin(audited, job.rows) for job in jobs], np.int8),
        "labels": ours.dataset.y[audited],
        "population_labels": ours.dataset.y[ours.roles.population],
        "index": audited,
    }


def table(arrays: Arrays, target: int, shadows: int) -> tuple[Signals, NDArray[np.bool_]]:
    """The table in which a model of the pool is the target and the first so many are its shadow models; the truth."""
    own, others = np.array([target]), np.arange(shadows)
    return (
        Signals(
            arrays["index"],
            arrays["labels"].astype(np.int64),
            _answers(arrays, "audited", own),
            _answers(arrays, "audited", others),
            arrays["trained_on"][:shadows],
            population_target=_answers(arrays, "population", own),
            population_shadows=_answers(arrays, "population", others),
            population_labels=arrays["population_labels"].astype(np.int64),
            members=float(arrays["trained_on"][target].mean()),
            early=_early(arrays, shadows),
        ),
        arrays["trained_on"][target] == 1,
    )


def _early(arrays: Arrays, shadows: int) -> EarlyAnswers | None:
    """What the first models answered at early checkpoints."""
    if not (audited := early_of(arrays)):
        return None
    records, positions = (arrays[f"early{name}.positions"][0] for name in ("", ".population"))
    early = EarlyAnswers(records, audited, early_of(arrays, ".population"), positions)
    return early.each(lambda answers: answers.of_models(np.arange(min(shadows, answers.models))))


def _answers(arrays: Arrays, who: str, models: NDArray[np.intp]) -> Answers:
    answers = answers_of(arrays, who)
    assert answers is not None
    answers = answers.of_models(models)
    if len(models) > 1:  # as an audit keeps them
        vectors = None if answers.vectors is None else answers.vectors[:VECTOR_MODELS]
        tempered = {temperature: phi for temperature, phi in answers.tempered.items() if temperature in SHADOWS_KEEP}
        answers = replace(answers, vectors=vectors, tempered=tempered)
    return answers
