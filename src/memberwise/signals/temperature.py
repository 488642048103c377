"""Answers at another temperature: softmax(log p / T), and the temperature at which models' answers spread alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from memberwise.types.arrays import Array, Floats, Ints

# A matched temperature is looked for from one in so many to so many, to this precision of its logarithm.
FARTHEST, PRECISION = 64.0, 1e-12
# Fewer population records say too little about how far answers spread.
FEWEST_POPULATION = 100
# Between kept temperatures, phi is a polynomial through so many of them.
NEIGHBOURS = 4


def phi_at_temperature(logs: Array, labels: Ints, temperature: float) -> Floats:
    """``(..., n)`` float64: the scaled logit log p_y - log(1 - p_y) of softmax(logs / T).

    From all classes' logits or log-probabilities alike, without loss (softmax(log p / T) = softmax(logits / T)).

    Args:
        logs: ``(..., n, C)``. labels: ``(n,)`` class numbers. temperature: T above 0; 1 leaves the answers as they are.
    """
    scaled = logs.astype(np.float64) / temperature
    here = np.broadcast_to(labels[:, None], (*scaled.shape[:-1], 1))
    of_label = np.take_along_axis(scaled, here, -1)[..., 0]
    np.put_along_axis(scaled, here, -np.inf, -1)
    return np.asarray(of_label - logsumexp(scaled, axis=-1))


def interpolated_phi(kept: Mapping[float, Array], classes: int | None, temperature: float) -> Floats:
    """Phi at a temperature between those it is kept at, the shape of each of these.

    As a function of 1/T phi is smooth and concave, 0 + log of one over the other classes' number at 1/T = 0: a
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
