"""Read signals off raw answers: logits, probabilities, scores or labels become ``Answers``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import logsumexp

from memberwise.signals.label_sets import read_label_sets
from memberwise.signals.table import Answers
from memberwise.signals.temperature import EVERYWHERE, phis_at
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Floats, Ints

# The smallest value a logarithm is taken of: "scores" are rounded or perturbed, so less is noise (design, section 3).
SMALLEST = {"probabilities": 1e-30, "scores": 1e-12}
CHUNK_VALUES = 4_000_000
# Logits below this, such as -inf or the smallest float32, are masks: the class is ruled out.
RULED_OUT = -1e30


def read_answers(
    raw: Array,
    labels: Array,
    kind: Kind,
    keep_vectors: int | None = None,
    precision: DTypeLike = np.float32,
    temperatures: Sequence[float] = EVERYWHERE,
) -> Answers:
    """Turn raw answers into ``Answers``.

    Args:
        raw: ``(m, n, q, C)`` logits, probabilities or scores, or ``(m, n, q)`` answered class numbers.
        labels: ``(n,)`` true class numbers, 0 <= label < C; or ``(n, C)`` 0/1, several labels a record
            (``signals.label_sets``).
        kind: what ``raw`` holds.
        keep_vectors: full answers (first query) are kept of this many first models; None keeps all.
        precision: in which full answers are kept, float32 or float64.
        temperatures: other than 1, at which phi is kept too (``signals.temperature``): of logits and probabilities of
            softmax(log p / T); of scores likewise, what they leave of 1 being one class more. Not of labels, nor of
            several labels a record.
            By default so many that phi is known at any.

    ``log_p`` and ``log_1mp`` are computed in float64 from the logsumexp over the other classes, never as 1 - p_y
    (but for "scores", which need not sum to 1), and stored as float32.
    """
    if labels.ndim == 2:
        return read_label_sets(raw, labels, kind, margins=keep_vectors is None)
    if kind == "labels":
        nothing = np.full(raw.shape, np.nan, np.float32)
        return Answers(nothing, nothing, raw == labels[None, :, None], kind=kind)
    models, records, queries, classes = raw.shape
    log_p = np.empty((models, records, queries), np.float32)
    log_1mp = np.empty_like(log_p)
    correct = np.empty(log_p.shape, bool)
    tempered = {temperature: np.empty_like(log_p) for temperature in temperatures if temperature != 1}
    clipped = 0
    step = max(1, CHUNK_VALUES // max(1, records * queries * classes))
    for start in range(0, models, step):
        part = slice(start, start + step)
        values = np.asarray(raw[part], np.float64)
        values = possible(values) if kind == "logits" else values
        correct[part] = values.argmax(-1) == labels[None, :, None]
        log_p[part], log_1mp[part], hit = _log_pair(values, labels, kind)
        clipped += hit
        for temperature, phi in _tempered(values, labels, kind, tuple(tempered)).items():
            tempered[temperature][part] = phi
    keep = models if keep_vectors is None else min(keep_vectors, models)
    vectors = np.ascontiguousarray(raw[:keep, :, 0], dtype=precision) if keep else None
    vectors = possible(vectors) if vectors is not None and kind == "logits" else vectors
    saturated = clipped / max(1, log_p.size)
    return Answers(log_p, log_1mp, correct, vectors, kind, saturated=saturated, tempered=tempered)


def _tempered(values: Floats, labels: Ints, kind: Kind, temperatures: Sequence[float]) -> dict[float, Floats]:
    """Phi at each of the temperatures, ``(m, n, q)``, of raw answers ``(m, n, q, C)``."""
    if not temperatures:
        return {}
    of_queries = labels[:, None].repeat(values.shape[2], 1).ravel()
    if kind == "scores":
        values = np.concatenate([values, np.maximum(1.0 - values.sum(-1, keepdims=True), 0.0)], -1)
    flat, least = values.reshape(len(values), -1, values.shape[-1]), -np.inf
    if kind != "logits":
        least = float(np.log(SMALLEST[kind]))
        with np.errstate(divide="ignore"):
            flat = np.log(np.maximum(flat, 0.0))
    phis = phis_at(flat, of_queries, temperatures, least)
    return {temperature: phi.reshape(values.shape[:-1]) for temperature, phi in phis.items()}


def possible(logits: Array) -> Array:
    """``(..., C)`` logits with every class possible: one that is ruled out gets log p of a probability of 0.

    Answers that rule out every class become NaN.
    """
    out = logits < RULED_OUT
    if not out.any():
        return logits
    whole = logsumexp(np.where(out, -np.inf, logits), axis=-1, keepdims=True)
    lowest = np.where(out, np.inf, logits).min(-1, keepdims=True)
    floor = np.minimum(whole + np.log(SMALLEST["probabilities"]), lowest)
    return np.where(out, np.where(np.isneginf(whole), np.nan, floor), logits).astype(logits.dtype)


def _log_pair(values: Floats, labels: Ints, kind: Kind) -> tuple[Floats, Floats, int]:
    """log p_y, log(1 - p_y), and how many true-class answers were clipped."""
    here = np.broadcast_to(labels[None, :, None, None], (*values.shape[:-1], 1))
    value = np.take_along_axis(values, here, -1)[..., 0]
    if kind == "scores":
        rest = 1.0 - value
    else:
        other_values = values.copy()
        np.put_along_axis(other_values, here, -np.inf if kind == "logits" else 0.0, -1)
        if kind == "logits":
            return *_log_sigmoids(value - logsumexp(other_values, axis=-1)), 0
        rest = other_values.sum(-1)
    floor = SMALLEST[kind]
    log_value, log_rest = np.log(np.maximum(value, floor)), np.log(np.maximum(rest, floor))
    return log_value, log_rest, int(((value < floor) | (rest < floor)).sum())


def _log_sigmoids(phi: Floats) -> tuple[Floats, Floats]:
    """log p and log(1 - p) of the scaled logit, both to full relative precision (z_y - logsumexp(z) is not)."""
    with np.errstate(invalid="ignore"):  # NaN stays NaN, and is refused by who asked
        return -np.logaddexp(0.0, -phi), -np.logaddexp(0.0, phi)


def log_vectors(answers: Answers) -> Floats:
    """``(j, n, C)`` float64 log-probabilities of the full answers, clipped where they are not logits."""
    values = _vectors(answers)
    if answers.kind == "logits":
        return _log_softmax(values)[0]
    return np.asarray(np.log(np.maximum(values, _floor(answers))))


def log_complements(answers: Answers) -> Floats:
    """``(j, n, C)`` float64 log(1 - p_j) of the full answers.

    Of the largest class it is the log of the sum over the other classes, so that nothing is lost where p_j is close
    to 1; "scores" need not sum to 1, so there it is log(1 - p_j) as written. Clipped where they are not logits.
    """
    values = _vectors(answers)
    if answers.kind == "logits":
        return _log_softmax(values)[1]
    floor = _floor(answers)
    if answers.kind == "scores":
        return np.asarray(np.log(np.maximum(1.0 - values, floor)))
    top = values.argmax(-1)[..., None]
    np.put_along_axis(values, top, 0.0, -1)
    logs = np.log1p(-values)
    np.put_along_axis(logs, top, np.log(np.maximum(values.sum(-1, keepdims=True), floor)), -1)
    return logs


def probability_vectors(answers: Answers) -> Floats:
    """``(j, n, C)`` float64 probabilities (softmax of logits; "scores" as they are answered)."""
    return np.exp(log_vectors(answers)) if answers.kind == "logits" else _vectors(answers)


def _floor(answers: Answers) -> float:
    """The smallest number a logarithm is taken of."""
    return SMALLEST[answers.kind] if answers.floor is None else answers.floor


def _vectors(answers: Answers) -> Floats:
    """A float64 copy of the full answers."""
    if answers.vectors is None:
        raise ValueError("these answers hold no full vectors")
    return answers.vectors.astype(np.float64)


def _log_softmax(logits: Floats) -> tuple[Floats, Floats]:
    """log p_j and log(1 - p_j), accurate for the largest class too, of which both come from its scaled logit."""
    top = logits.argmax(-1)[..., None]
    largest = np.take_along_axis(logits, top, -1)
    other_logits = logits.copy()
    np.put_along_axis(other_logits, top, -np.inf, -1)
    log_top, log_rest = _log_sigmoids(largest - logsumexp(other_logits, axis=-1, keepdims=True))
    log_p = logits - (largest - log_top)
    np.put_along_axis(log_p, top, -np.inf, -1)
    log_1mp = np.log1p(-np.exp(log_p))
    np.put_along_axis(log_p, top, log_top, -1)
    np.put_along_axis(log_1mp, top, log_rest, -1)
    return log_p, log_1mp
