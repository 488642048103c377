"""Small tables of signals, with known truth, on which attacks are tried."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.read import read_answers
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Ints, Mask

RECORDS, MODELS, CLASSES, POPULATION = 300, 12, 4, 200


def leaking_table(rng: np.random.Generator, leak: float) -> tuple[Signals, Mask]:
    """A table with everything an attack may need, and who the ``(n,)`` members are.

    ``leak`` raises the true class's logit where a model trained on the record. Shadow models come in pairs.
    """
    labels = rng.integers(0, CLASSES, RECORDS)
    member = rng.permutation(RECORDS) < RECORDS // 2
    halves = rng.random((MODELS // 2, RECORDS)).argsort(1) < RECORDS // 2
    trained_on = np.stack([halves, ~halves], 1).reshape(MODELS, RECORDS)
    centre = rng.normal(size=(RECORDS, CLASSES))
    outside = rng.normal(size=(POPULATION, CLASSES))
    outside_labels = rng.integers(0, CLASSES, POPULATION)

    def logits(inside: Mask, centres: Floats, truth: Ints) -> Floats:
        z = centres + rng.normal(size=(len(inside), *centres.shape))
        z[:, np.arange(len(truth)), truth] += 1.0 + leak * inside
        return np.asarray(z[:, :, None, :])

    def nowhere(models: int) -> Mask:
        return np.zeros((models, POPULATION), bool)

    signals = Signals(
        index=np.arange(RECORDS),
        labels=labels,
        target=read_answers(logits(member[None], centre, labels), labels, "logits"),
        shadows=read_answers(logits(trained_on, centre, labels), labels, "logits"),
        trained_on=trained_on.astype(np.int8),
        population_target=read_answers(logits(nowhere(1), outside, outside_labels), outside_labels, "logits"),
        population_shadows=read_answers(logits(nowhere(MODELS), outside, outside_labels), outside_labels, "logits"),
        population_labels=outside_labels,
        features=np.concatenate([centre, outside]).astype(np.float32),
        population_index=np.arange(RECORDS, RECORDS + POPULATION),
    )
    return signals, member


def reordered(signals: Signals, order: NDArray[np.intp]) -> Signals:
    """The table with its records in another order: ``(n,)`` positions."""

    def turned(answers: Answers) -> Answers:
        vectors = None if answers.vectors is None else answers.vectors[:, order]
        arrays = {name: getattr(answers, name)[:, order] for name in ("log_p", "log_1mp", "correct")}
        return replace(answers, **arrays, vectors=vectors)

    shadows = None if signals.shadows is None else turned(signals.shadows)
    return replace(
        signals,
        index=signals.index[order],
        labels=signals.labels[order],
        target=turned(signals.target),
        shadows=shadows,
        trained_on=signals.trained_on[:, order],
    )


def same_table(one: Signals, other: Signals) -> bool:
    """Both tables hold the same numbers."""
    pairs = [(one.target, other.target), (one.shadows, other.shadows), (one.population_target, other.population_target)]
    for a, b in pairs:
        if a is None or b is None:
            continue
        for name in ("log_p", "log_1mp", "correct", "vectors"):
            x, y = getattr(a, name), getattr(b, name)
            if x is not None and not np.array_equal(x, y, equal_nan=True):
                return False
    return np.array_equal(one.trained_on, other.trained_on) and np.array_equal(one.labels, other.labels)
