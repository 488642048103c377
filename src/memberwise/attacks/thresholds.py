"""One threshold for all records on one signal of the target's answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.signals.read import log_complements, log_vectors, probability_vectors
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Ints, Mask

# signal(answers, labels) -> (j, n), of the first query, for the j models whose answers it can read.
Signal = Callable[[Answers, Ints], Floats]


def loss(answers: Answers, labels: Ints) -> Floats:
    """log p_y, minus the cross-entropy loss (Yeom et al. 2018).

    Returns:
        ``(m, n)`` in (-inf, 0]. HIGHER = MORE LIKELY A MEMBER.
    """
    return answers.log_p[:, :, 0].astype(np.float64)


def model_by_model(signal: Signal) -> Signal:
    """The signal, read off the full answers of one model at a time: memory holds one model's vectors."""

    @wraps(signal)
    def whole(answers: Answers, labels: Ints) -> Floats:
        models = 1 if answers.vectors is None else len(answers.vectors)
        return np.concatenate([signal(answers.of_models(np.array([k])), labels) for k in range(models)])

    return whole


@model_by_model
def confidence(answers: Answers, labels: Ints) -> Floats:
    """The largest probability; label-free (Salem et al. 2019, "ML-Leaks", adversary 3).

    Returns:
        ``(m, n)`` in (0, 1]. HIGHER = MORE LIKELY A MEMBER.
    """
    return np.asarray(probability_vectors(answers).max(-1))


@model_by_model
def entropy(answers: Answers, labels: Ints) -> Floats:
    """sum_j p_j log p_j, minus the entropy; label-free (Salem et al. 2019, "ML-Leaks").

    Returns:
        ``(m, n)`` nats, at most 0. HIGHER = MORE LIKELY A MEMBER.
    """
    return np.asarray((probability_vectors(answers) * log_vectors(answers)).sum(-1))


@model_by_model
def mentr(answers: Answers, labels: Ints) -> Floats:
    """(1 - p_y) log p_y + sum_{j != y} p_j log(1 - p_j), minus the modified entropy.

    0 where p_y = 1 and unbounded below where the model is sure of a wrong class (Song & Mittal 2021).

    Returns:
        ``(m, n)`` nats, at most 0. HIGHER = MORE LIKELY A MEMBER.
    """
    terms = probability_vectors(answers) * log_complements(answers)
    label_term = _of_class(log_vectors(answers), labels) * np.exp(_of_class(log_complements(answers), labels))
    return np.asarray(label_term + np.where(_is_class(labels, terms.shape[-1]), 0.0, terms).sum(-1))


@model_by_model
def l2(answers: Answers, labels: Ints) -> Floats:
    """Minus the squared error of the answered vector, the Brier score: -sum_j (p_j - [j = y])^2.

    Returns:
        ``(m, n)`` in [-2, 0]. HIGHER = MORE LIKELY A MEMBER.
    """
    p = probability_vectors(answers)
    other_classes = np.where(_is_class(labels, p.shape[-1]), 0.0, p)
    return np.asarray(-((other_classes**2).sum(-1) + np.exp(2.0 * _of_class(log_complements(answers), labels))))


def _of_class(vectors: Floats, labels: Ints) -> Floats:
    """``(j, n)``: of ``(j, n, C)`` vectors, the entry of the true class."""
    return np.asarray(np.take_along_axis(vectors, labels[None, :, None], -1)[..., 0])


def _is_class(labels: Ints, classes: int) -> Mask:
    return np.equal(labels[:, None], np.arange(classes))


def on_target(signal: Signal) -> Score:
    """The attack whose score is the signal itself. HIGHER = MORE LIKELY A MEMBER."""

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        return np.asarray(signal(signals.target, signals.labels)[0])

    return score


# name, signal, needs, source, what is compared with the threshold
SIGNALS: list[tuple[str, Signal, Needs, str, str]] = [
    ("loss", loss, Needs(), "Yeom et al. 2018", "log-probability of the true class"),
    (
        "confidence",
        confidence,
        Needs(vectors=True, label=False),
        "Salem et al. 2019, adversary 3",
        "largest probability",
    ),
    ("entropy", entropy, Needs(vectors=True, label=False), "Salem et al. 2019, adversary 3", "negative entropy"),
    ("mentr", mentr, Needs(vectors=True), "Song & Mittal 2021", "negative modified entropy"),
    ("l2", l2, Needs(vectors=True), "Brier score of the answer", "negative squared error of the answered vector"),
]

ATTACKS = [
    Attack(name, on_target(signal), needs, source, f"Compares the {words} with one threshold.")
    for name, signal, needs, source, words in SIGNALS
]
