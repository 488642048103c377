"""One threshold a class on one signal, chosen on the shadow models."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.base import Attack, Score
from memberwise.attacks.in_out import first_models, shadows_of
from memberwise.attacks.thresholds import SIGNALS, Signal
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Ints

# A class with fewer shadow rows than this, IN and OUT together, takes the threshold of all classes together.
FEWEST = 10
# Thresholds are chosen on so many answers of shadow models, records counted; more place them no better.
MOST_READ = 2**23
# A record is a member where s >= tau_y: where its score s - tau_y is strictly above the number just below 0.
JUST_BELOW_ZERO = math.nextafter(0.0, -math.inf)


def above_class_threshold(signal: Signal) -> Score:
    """The attack that compares a signal with its class's threshold.

    Song & Mittal 2021, "Systematic evaluation of privacy risks of machine learning models". The score is
    s - tau_y. HIGHER = MORE LIKELY A MEMBER, and at least 0 exactly where s >= tau_y. Assumes shadow models trained
    like the target; more of them, and more records a class, place the thresholds better.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        read = first_models(signals, MOST_READ)
        values = signal(shadows_of(read.shadows), signals.labels)
        tau = class_thresholds(values, read.trained_on[: len(values)], signals.labels)
        return np.asarray(signal(signals.target, signals.labels)[0] - tau)

    return score


def class_thresholds(values: Floats, trained_on: NDArray[np.int8], labels: Ints) -> Floats:
    """``(n,)``: the threshold of each record's class; ``values`` and ``trained_on`` are ``(j, n)``.

    NaN where neither the class nor all classes together have shadow rows on both sides.
    """
    tau = np.full(len(labels), np.nan)
    for label in np.unique(labels):
        rows = labels == label
        inside, outside = sides(values[:, rows], trained_on[:, rows])
        if inside.size and outside.size and inside.size + outside.size >= FEWEST:
            tau[rows] = best_threshold(inside, outside)
    if np.isnan(tau).any():
        inside, outside = sides(values, trained_on)
        if inside.size and outside.size:
            tau[np.isnan(tau)] = best_threshold(inside, outside)
    return tau


def sides(values: Floats, trained_on: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """The values of (model, record) pairs that are IN, and of those that are OUT.

    Args:
        values: ``(m, n)``. trained_on: ``(m, n)``, 1 IN, 0 OUT, -1 neither.

    Returns:
        ``(n_in,)`` and ``(n_out,)`` values, model by model.
    """
    return values[trained_on == 1], values[trained_on == 0]


def best_threshold(inside: Floats, outside: Floats) -> float:
    """The value t among all that maximises TPR + TNR of "member where s >= t"; the smallest of equals.

    Args:
        inside, outside: ``(n_in,)`` and ``(n_out,)`` scores of members and of non-members, at least one each.
    """
    inside, outside = np.sort(inside), np.sort(outside)
    candidates = np.unique(np.concatenate([inside, outside]))
    missed, spared = np.searchsorted(inside, candidates), np.searchsorted(outside, candidates)
    # whole numbers: equally good thresholds compare as equal
    return float(candidates[np.argmax(spared * inside.size - missed * outside.size)])


ATTACKS = [
    Attack(
        name=f"{name}-classwise",
        score=above_class_threshold(signal),
        needs=replace(needs, label=True, shadow_vectors=needs.vectors, shadows="in+out", classes=True),
        source="Song & Mittal 2021",
        summary=f"Compares the {words} with a threshold for the record's class, chosen on shadow models.",
        threshold=JUST_BELOW_ZERO,
    )
    for name, signal, needs, _, words in SIGNALS
]
