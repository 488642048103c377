"""Many small networks of one shape, trained side by side: one matrix product for them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from memberwise.types.arrays import Floats, Floats32

# 64 hidden ReLU units and one output, as in Shokri et al. 2017; passes, Adam's rate, weight decay and batches are ours.
HIDDEN, PASSES, RATE, DECAY, BATCH = 64, 30, 3e-3, 1e-3, 200
# Adam's (Kingma and Ba 2015).
BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8

Lesson = tuple[Floats, NDArray[np.int8]]
Judge = Callable[[Floats], Floats]


def fit_networks(lessons: Sequence[Lesson], rng: np.random.Generator) -> list[Judge]:
    """A network for each lesson, which gives the probability of "member" for rows of features.

    The networks that take as many steps a pass train together.

    Args:
        lessons: ``(n, features)`` rows, standardised here, and ``(n,)`` 0 or 1; each with as many features.

    Returns:
        For each a function from ``(k, features)`` rows to ``(k,)`` probabilities.
    """
    judges: dict[int, Judge] = {}
    batches = np.array([ceil(len(x) / BATCH) for x, _ in lessons])
    for count in np.unique(batches).tolist():
        places: list[int] = np.flatnonzero(batches == count).tolist()
        scales = [(lessons[k][0].mean(0), np.maximum(lessons[k][0].std(0), 1e-6)) for k in places]
        inputs = [(lessons[k][0] - mean) / scale for k, (mean, scale) in zip(places, scales, strict=True)]
        weights = _trained(inputs, [lessons[k][1] for k in places], count, rng)
        for at, (k, (mean, scale)) in enumerate(zip(places, scales, strict=True)):
            judges[k] = _judge([part[at].astype(np.float64) for part in weights], mean, scale)
    return [judges[k] for k in range(len(lessons))]


def _judge(weights: Sequence[Floats], mean: Floats, scale: Floats) -> Judge:
    first, bias, last, offset = weights
    return lambda rows: np.asarray(expit(np.maximum((rows - mean) / scale @ first + bias, 0.0) @ last + offset)[:, 0])


def _trained(
    inputs: Sequence[Floats], wanted: Sequence[NDArray[np.int8]], batches: int, rng: np.random.Generator
) -> list[Floats32]:
    """``(m, ...)`` weights and biases of both layers of m networks after ``PASSES`` in random order."""
    width, longest = inputs[0].shape[1], max(map(len, inputs))
    x, y, real = (np.zeros((len(inputs), longest, k), np.float32) for k in (width, 1, 1))
    for k, (rows, answers) in enumerate(zip(inputs, wanted, strict=True)):
        x[k, : len(rows)], y[k, : len(rows), 0], real[k, : len(rows)] = rows, answers, 1.0
    weights = _begun(len(inputs), width, rng)
    moments = [(np.zeros_like(part), np.zeros_like(part)) for part in weights]
    own = np.arange(len(inputs))[:, None]
    for step in range(1, PASSES * batches + 1):
        if (step - 1) % batches == 0:  # each network's own rows come first, in an order of its own
            order = np.argsort(rng.random(real.shape[:2]) + (real[:, :, 0] == 0), axis=1)
        part = order[:, (step - 1) % batches * BATCH :][:, :BATCH]
        gradients = _gradients(weights, x[own, part], y[own, part], real[own, part])
        for value, gradient, (first, second) in zip(weights, gradients, moments, strict=True):
            first += (1 - BETA_1) * (gradient - first)
            second += (1 - BETA_2) * (gradient * gradient - second)
            rate = RATE * sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
            value -= np.float32(rate) * first / (np.sqrt(second) + np.float32(EPS))
    return weights


def _begun(models: int, width: int, rng: np.random.Generator) -> list[Floats32]:
    """Glorot's uniform beginning."""
    made = []
    for rows, columns in ((width, HIDDEN), (HIDDEN, 1)):
        bound = sqrt(6 / (rows + columns))
        made += [
            rng.uniform(-bound, bound, (models, *shape)).astype(np.float32) for shape in ((rows, columns), (1, columns))
        ]
    return made


def _gradients(weights: Sequence[Floats32], x: Floats32, y: Floats32, real: Floats32) -> list[Floats32]:
    """Of the mean cross-entropy over each network's real rows, and of the weights' decay.

    ``x``: ``(m, b, width)``; ``y``, ``real``: ``(m, b, 1)``.
    """
    first, bias, last, offset = weights
    hidden = np.maximum(x @ first + bias, 0.0)
    rows = np.maximum(real.sum(1, keepdims=True), 1.0)
    error = (expit(hidden @ last + offset) - y) * real / rows
    back = error @ last.transpose(0, 2, 1) * (hidden > 0)
    decay = np.float32(DECAY) / rows
    return [
        x.transpose(0, 2, 1) @ back + decay * first,
        back.sum(1, keepdims=True),
        hidden.transpose(0, 2, 1) @ error + decay * last,
        error.sum(1, keepdims=True),
    ]
