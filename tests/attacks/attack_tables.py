"""Synthetic tables of signals with known truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import log_expit

from memberwise.signals.read import read_answers
from memberwise.signals.table import Answers, Signals, Transfer


def paired(models: Any, records: Any, rng: Any) -> Any:
    """Shadow models in complementary pairs: each trains on a random half, the next one on the rest."""
    first = rng.random((models // 2, records)).argsort(1) < records // 2
    return np.stack([first, ~first], 1).reshape(models, records).astype(np.int8)


def unpaired(models: Any, records: Any, rng: Any) -> Any:
    """Every record is IN for exactly half of the models, at random."""
    return (rng.random((models, records)).argsort(0) < models // 2).astype(np.int8)


def coins(models: Any, records: Any, rng: Any) -> Any:
    """Every model flips a coin for every record."""
    return rng.integers(0, 2, (models, records), np.int8)


def answers_of(phi: Any) -> Answers:
    """Answers whose scaled logit is ``phi`` (m, n, q)."""
    return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0)


def gaussian_table(
    rng: Any,
    records: Any,
    models: Any,
    gap: float = 0.0,
    sd_in: float = 1.0,
    sd_out: float = 1.0,
    design: Any = paired,
    queries: int = 1,
) -> tuple[Any, Any]:
    """phi ~ N(mu_i + gap, sd_in^2) under models that trained on record i, N(mu_i, sd_out^2) under others.

    Returns the table and who the members are.
    """
    member = rng.permutation(records) < records // 2
    trained_on = design(models, records, rng)
    difficulty = rng.normal(size=records)

    def phi(inside: Any) -> Any:
        noise = rng.normal(size=(*inside.shape, queries))
        level = difficulty + gap * inside
        return answers_of(level[..., None] + noise * np.where(inside, sd_in, sd_out)[..., None])

    return table(phi(member[None]), phi(trained_on == 1), trained_on), member


def table(target: Any, shadows: Any, trained_on: Any, labels: Any = None, **rest: Any) -> Signals:
    records = target.records
    labels = np.zeros(records, np.int64) if labels is None else labels
    return Signals(np.arange(records), labels, target, shadows, trained_on, **rest)


def full_table(
    rng: Any,
    records: int = 400,
    models: int = 8,
    classes: int = 4,
    population: int = 300,
    leak: float = 0.0,
    queries: int = 1,
    kind: str = "logits",
    vectors: int = 6,
) -> tuple[Any, Any]:
    """Everything an attack may need; ``leak`` raises the true class's logit where a model trained on the record."""
    member = rng.permutation(records) < records // 2
    trained_on = paired(models, records, rng)
    labels, others = rng.integers(0, classes, records), rng.integers(0, classes, population)

    def ask(labels: Any, inside: Any, keep: Any) -> Any:
        logits = rng.normal(size=(len(inside), len(labels), queries, classes))
        logits[:, np.arange(len(labels)), :, labels] += (1.5 + leak * inside.T)[..., None]
        if kind != "logits":
            logits = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        return read_answers(logits, labels, kind, keep)  # type: ignore[arg-type]

    nowhere = np.zeros((models, population))
    signals = table(
        ask(labels, member[None], 1),
        ask(labels, trained_on, vectors),
        trained_on,
        labels,
        population_target=ask(others, nowhere[:1], 0),
        population_shadows=ask(others, nowhere, 0),
        population_labels=others,
        population_index=np.arange(records, records + population),
        features=rng.normal(size=(records + population, 3)).astype(np.float32),
    )
    target, shadows = (
        replace(answers, extra=extras(rng, inside, leak))  # type: ignore[type-var]
        for answers, inside in ((signals.target, member[None]), (signals.shadows, trained_on[:vectors]))
    )
    own = rng.permutation(120) < 60
    transfer = Transfer(read_answers(3 * rng.normal(size=(1, 120, 1, 3)), np.zeros(120, int), "logits"), own)
    transfer.answers.vectors[0, own, 0] += 3 * leak  # type: ignore[index]
    return replace(signals, target=target, shadows=shadows, transfer=transfer), member  # type: ignore[arg-type]


def extras(rng: Any, inside: Any, leak: Any) -> Any:
    """What collectors give of models that trained on some records (m, n); members' answers are firmer by ``leak``."""

    def firm(*shape: Any) -> Any:
        return rng.normal(size=(*inside.shape, *shape)) + 0.5 * leak * inside.reshape(*inside.shape, *(1,) * len(shape))

    found = {
        "augmented": firm(8) > -0.5,
        "noised": (firm(5, 20) > 0.1 * np.arange(5)[:, None]).mean(-1).astype(np.float32),
        "near": (firm(3, 20) > 0).mean(-1).astype(np.float32),
        "boundary": np.maximum(1 + firm(), 0),
        "gradient": np.exp(-firm(2)).astype(np.float32),
    }
    asked = {"augmented": 8, "noised": 100, "near": 21, "boundary": 1000, "gradient": 1, "random": 1}
    counts = {f"{name}.queries": np.full(inside.shape, count, np.int32) for name, count in asked.items()}
    return found | counts | {"random": np.full(len(inside), 0.5)}


def of_records(signals: Any, rows: Any) -> Any:
    """The table of some audited records, in the order given."""

    def part(answers: Any) -> Answers:
        vectors = None if answers.vectors is None else answers.vectors[:, rows]
        fields = (answers.log_p[:, rows], answers.log_1mp[:, rows], answers.correct[:, rows])
        extra = {name: values[:, rows] if values.ndim > 1 else values for name, values in answers.extra.items()}
        tempered = {temperature: phi[:, rows] for temperature, phi in answers.tempered.items()}
        return Answers(*fields, vectors, answers.kind, extra, tempered=tempered)

    return replace(
        signals,
        index=signals.index[rows],
        labels=signals.labels[rows],
        target=part(signals.target),
        shadows=part(signals.shadows),
        trained_on=signals.trained_on[:, rows],
    )
