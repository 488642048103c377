"""What a record looks like to the learned attack: one model's answer beside those of models with and without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.bavaria import Prior, pooled_prior, predictive
from memberwise.attacks.lira import log_density, spread
from memberwise.attacks.sides import Moments, log_mean_p, log_mix, moments, shadows_of
from memberwise.signals.table import Answers, Signals

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Side:
    """The shadow models on one side of each record, IN or OUT.

    Attributes:
        moments: of the scaled logit phi; prior: on its mean and variance, fitted to all records.
        log_p, log_1mp: ``(n, q)`` logs of the mean p_y and of the mean 1 - p_y.
        correct: ``(n,)`` share of right answers.
    """

    moments: Moments
    prior: Prior
    log_p: NDArray[np.float64]
    log_1mp: NDArray[np.float64]
    correct: NDArray[np.float64]


def side_of(shadows: Answers, use: NDArray[np.bool_]) -> Side | None:
    """The side's statistics over the models ``use``, ``(m, n)``; None where no record has two models there."""
    found = moments(shadows, use)
    prior = pooled_prior(found)
    if prior is None:
        return None
    complement = Answers(shadows.log_1mp, shadows.log_p, shadows.correct)
    right = np.einsum("mnq,mn->n", shadows.correct, use) / (use.sum(0).clip(1) * shadows.queries)
    return Side(found, prior, log_mean_p(shadows, use), log_mean_p(complement, use), right)


def sides_of(signals: Signals, offline: bool) -> tuple[Side | None, Side] | None:
    """The IN side (None where ``offline``) and the OUT side of a table; None where one that is needed is missing."""
    shadows = shadows_of(signals.shadows)
    outside, inside = side_of(shadows, signals.is_out), None if offline else side_of(shadows, signals.is_in)
    return None if outside is None or (inside is None and not offline) else (inside, outside)


def matrix(own: Answers, inside: Side | None, outside: Side, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """``(n, f)``: ``features`` side by side."""
    return np.stack(list(features(own, inside, outside, labels).values()), 1).astype(np.float32)


def features(own: Answers, inside: Side | None, outside: Side, labels: NDArray[np.int64]) -> Columns:
    """Features by name, each ``(n,)``, of one model's answers, ``own``: the same for a stand-in and for the target.

    Per query, then averaged: the answer, the centres and shrunk spreads of both sides and their differences, and log
    ratios: Gaussian with one spread for all records and with each record's shrunk one, Student's t with the prior
    fitted to all records, and p_y (and 1 - p_y) against the shadow models' mean. With several queries also how far
    they agree. Beside them how often shadow models are right, and the class's mean centres.
    """
    phi = own.phi[0]
    answered = own.log_p[0].astype(np.float64), own.log_1mp[0].astype(np.float64)
    found: Columns = {"phi": phi, "log p": answered[0]}
    found |= {f"out {name}": values for name, values in _against(phi, *answered, outside).items()}
    if inside is not None:
        found |= {f"in {name}": values for name, values in _against(phi, *answered, inside).items()}
        found |= _between(found, phi, answered, inside, outside)
    flat = {name: values.mean(-1) for name, values in found.items()}
    if phi.shape[1] > 1:
        main = found["ratio t" if inside is not None else "out z"]
        flat |= {"least": main.min(-1), "most": main.max(-1), "phi spread": phi.std(-1), "phi least": phi.min(-1)}
    flat |= {"correct": own.correct[0].mean(-1), "out correct": outside.correct}
    if inside is not None:
        flat["in correct"] = inside.correct
    for name in ("phi", "out centre", "gap"):
        if name in flat:
            flat[f"class {name}"] = class_means(flat[name], labels)
    return flat


def _against(phi: NDArray[np.float64], log_p: NDArray[np.float64], log_1mp: NDArray[np.float64], side: Side) -> Columns:
    """How the answer stands to one side, each ``(n, q)``."""
    expected, own_spread = predictive(side.moments, side.prior), spread(side.moments, "shrunk")
    return {
        "centre": side.moments.mean,
        "spread": own_spread,
        "distance": phi - side.moments.mean,
        "z": (phi - side.moments.mean) / own_spread,
        "t": expected.log_density(phi),
        "p": log_p - side.log_p,
        "1 - p": log_1mp - side.log_1mp,
    }


def _between(
    found: Columns,
    phi: NDArray[np.float64],
    answered: tuple[NDArray[np.float64], NDArray[np.float64]],
    inside: Side,
    outside: Side,
) -> Columns:
    """Log ratios between the sides and their like, each ``(n, q)``."""
    gap = found["in centre"] - found["out centre"]
    halfway = phi - (found["in centre"] + found["out centre"]) / 2
    fixed, shrunk = (
        log_density(phi, inside.moments, kind) - log_density(phi, outside.moments, kind) for kind in ("fixed", "shrunk")
    )
    both = np.full((2, 1, 1), 0.5)
    return {
        "gap": gap,
        "halfway": halfway,
        "ratio linear": gap * halfway,
        "ratio fixed": fixed,
        "ratio shrunk": shrunk,
        "ratio t": found["in t"] - found["out t"],
        "ratio p": answered[0] - log_mix(np.stack([inside.log_p, outside.log_p]), both),
        "ratio 1 - p": answered[1] - log_mix(np.stack([inside.log_1mp, outside.log_1mp]), both),
    }


def class_means(values: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """``(n,)``: the mean over the record's class, over records that have the value."""
    have = ~np.isnan(values)
    total = np.bincount(labels, weights=np.where(have, values, 0.0))
    return np.asarray((total / np.maximum(np.bincount(labels, weights=have), 1.0))[labels])
