"""Answers at another temperature: softmax(log p / T), and the temperature at which models' answers spread alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from memberwise.types.arrays import Array, Floats, Ints

# A matched temperature is looked for from one in so many to so many, to this precision of its logarithm.
FARTHEST, PRECISION = 64.0, 1e-12
# Fewer population records say too little about how far answers spread.
FEWEST_POPULATION = 100
# At these ``base-matched`` reads the shadow models' answers and, at the first on the matched scale, the target's.
MATCHED, RAW = 2.0, 2.8
# Kept of the target, whose own matched temperature may lie anywhere; the second power of one is the third's half.
WIDE = tuple(float(2.0 ** (step / 2)) for step in range(-8, 11) if step)
EVERYWHERE = (*WIDE, RAW)
# From these "tuned" chooses, 1 beside them.
TUNED = (1.4, 2.0, 2.8, 4.0)
# Between kept temperatures, phi is a polynomial through so many of them.
NEIGHBOURS = 6


def temperatures_in_use(wanted: float | Literal["tuned"]) -> tuple[float, ...]:
    """The temperatures at which p_y of all models is kept, 1 apart: whatever attacks are asked for later find it."""
    more = TUNED if wanted == "tuned" else (wanted,)
    return tuple(sorted({MATCHED, RAW, *more} - {1.0}))


def phi_at_temperature(logs: Array, labels: Ints, temperature: float, least: float = -np.inf) -> Floats:
    """``(..., n)`` float64: the scaled logit log p_y - log(1 - p_y) of softmax(logs / T).

    From all classes' logits or log-probabilities alike, without loss (softmax(log p / T) = softmax(logits / T)).

    Args:
        logs: ``(..., n, C)``. labels: ``(n,)`` class numbers. temperature: T above 0; 1 leaves the answers as they are.
        least: what the log of a 0 counts as.
    """
    return phis_at(logs, labels, (temperature,), least)[temperature]


def phis_at(logs: Array, labels: Ints, temperatures: Sequence[float], least: float = -np.inf) -> dict[float, Floats]:
    """``phi_at_temperature`` at several, ``(..., n)`` each, of ``(..., n, C)`` logs and ``(n,)`` labels."""
    logs = logs.astype(np.float64)
    here = np.broadcast_to(labels[:, None], (*logs.shape[:-1], 1))
    of_label = np.maximum(np.take_along_axis(logs, here, -1)[..., 0], least)
    np.put_along_axis(logs, here, -np.inf, -1)
    top = logs.max(-1)
    logs -= np.where(np.isneginf(top), 0.0, top)[..., None]
    phis = {}
    for temperature in temperatures:
        with np.errstate(divide="ignore"):  # no other class has anything: the log of 0, floored
            rest = top / temperature + np.log(np.exp(logs / temperature).sum(-1))
        phis[temperature] = of_label / temperature - np.maximum(rest, least / temperature)
    return phis


def interpolated_phi(kept: Mapping[float, Array], classes: int | None, temperature: float) -> Floats:
    """Phi at a temperature between those it is kept at, ``(...,)`` like each of these, float64.

    As a function of 1/T phi is smooth and concave, minus the log of the number of other classes at 1/T = 0: a
    polynomial through the neighbours (NEIGHBOURS at most) follows it; beyond the lowest temperature a straight line.

    Args:
        kept: phi by temperature, arrays of one shape, two at least where ``classes`` is None.
        classes: their number, from which phi at infinite temperature is known; None: not known.
        temperature: above 0.
    """
    phis: dict[float, Array | float] = {1 / t: phi for t, phi in kept.items()}
    if classes is not None and classes > 1:
        phis[0.0] = -float(np.log(classes - 1))
    at, nodes = 1 / temperature, sorted(phis)
    if at > nodes[-1]:
        nodes = nodes[-2:]
    elif len(nodes) > NEIGHBOURS:
        first = int(np.clip(np.searchsorted(nodes, at) - NEIGHBOURS // 2, 0, len(nodes) - NEIGHBOURS))
        nodes = nodes[first : first + NEIGHBOURS]
    result: Floats = np.zeros(next(iter(kept.values())).shape)
    for node in nodes:
        others = [other for other in nodes if other != node]
        result += np.prod([(at - other) / (node - other) for other in others]) * np.asarray(phis[node], np.float64)
    return result


def matched_temperature(phi_at: Callable[[float], Floats], spread: float) -> float:
    """The temperature T at which a model's phi has this standard deviation over the population records.

    Answers of another sharpness (a target trained longer or shorter than its shadow models, or served at another
    temperature) are brought to the shadow models' scale by it: at T times t they compare with the shadow models'
    answers at t. Multiplying the model's logits by any number multiplies T by it and changes nothing else.

    Args:
        phi_at: ``(k,)`` phi of the population records at a temperature (``phi_at_temperature``).
        spread: above 0: the mean over shadow models of the standard deviation of their phi at temperature 1.

    Returns:
        T, between 1/64 and 64; that end which comes nearest where none in between has the spread.
    """

    def excess(log_temperature: float) -> float:
        return float(np.log(np.std(phi_at(float(np.exp(log_temperature)))).clip(1e-300)) - np.log(spread))

    end = float(np.log(FARTHEST))
    low, high = excess(-end), excess(end)
    if low <= 0 or high >= 0:  # phi spreads the less, the higher the temperature
        return 1 / FARTHEST if low <= 0 else FARTHEST
    return float(np.exp(brentq(excess, -end, end, xtol=PRECISION)))
