"""Records made up by asking the target: hill climbing towards what it is sure of, many chains at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from memberwise.types.arrays import Floats, Floats32, Ints, Mask

# Probabilities (n, classes) of the target for records (n, features).
AskTarget = Callable[[Floats32], Floats]
# A class whose chains fail is tried so many times as there are records wanted of it, then it is left short.
TRIES = 3


@dataclass(frozen=True)
class Climb:
    """Shokri et al. 2017, algorithm 1.

    Attributes:
        k_max, k_min: features drawn anew at a step, at first and at least; halved after ``rej_max`` rejections on end.
        conf_min: the probability of its class that a record must have.
        iter_max: steps of a chain before it fails.
    """

    k_max: int = 128
    k_min: int = 4
    conf_min: float = 0.2
    rej_max: int = 10
    iter_max: int = 1000


@dataclass(frozen=True)
class Synthetic:
    """What was made.

    Attributes:
        x: ``(n, features)`` float32; y: ``(n,)`` the class each was made for.
        queries: records the target was asked about.
        failures: ``(classes,)`` chains that ended without a record.
    """

    x: Floats32
    y: Ints
    queries: int
    failures: Ints


def synthesise(
    ask: AskTarget,
    each: Ints,
    low: Floats32,
    high: Floats32,
    binary: Mask,
    climb: Climb,
    rng: np.random.Generator,
) -> Synthetic:
    """Records of every class that the target is sure of, from nothing but its answers.

    Args:
        each: ``(classes,)`` how many records of each class are wanted; a class the target is never sure of gets fewer.
        low, high: ``(features,)`` the range of each feature; ``binary``: it takes these two values only.
    """
    missing = each.copy()
    parts_x, parts_y, queries = [], [], 0
    failures = np.zeros_like(each)
    for _ in range(TRIES):
        classes = np.repeat(np.arange(len(each)), missing)
        if not len(classes):
            break
        x, done, cost = _climb(ask, classes, low, high, binary, climb, rng)
        queries += cost
        failures += np.bincount(classes[~done], minlength=len(each))
        missing = np.bincount(classes[~done], minlength=len(each))
        parts_x.append(x[done])
        parts_y.append(classes[done])
    empty = np.zeros((0, len(low)), np.float32)
    return Synthetic(np.concatenate([empty, *parts_x]), np.concatenate([each[:0], *parts_y]), queries, failures)


def _climb(
    ask: AskTarget,
    classes: Ints,
    low: Floats32,
    high: Floats32,
    binary: Mask,
    climb: Climb,
    rng: np.random.Generator,
) -> tuple[Floats32, Mask, int]:
    """One chain for each wanted record: the records, which chains succeeded, and the queries asked."""
    chains, features = len(classes), len(low)
    best_x = drawn(low, high, binary, (chains,), rng)
    x, best, rejects = best_x.copy(), np.zeros(chains), np.zeros(chains, np.int64)
    k = np.full(chains, min(climb.k_max, features))
    done, active, queries = np.zeros(chains, bool), np.arange(chains), 0
    for _ in range(climb.iter_max):
        p = ask(x[active])
        queries += len(active)
        confidence = p[np.arange(len(active)), classes[active]]
        better = confidence >= best[active]
        up, down = active[better], active[~better]
        best[up], best_x[up], rejects[up] = confidence[better], x[up], 0
        sure = better & (confidence > climb.conf_min) & (p.argmax(1) == classes[active])
        done[active[sure & (rng.random(len(active)) < confidence)]] = True
        rejects[down] += 1
        tired = down[rejects[down] > climb.rej_max]
        k[tired], rejects[tired] = np.maximum(min(climb.k_min, features), -(-k[tired] // 2)), 0
        active = active[~done[active]]
        if not len(active):
            break
        # The k features with the smallest lots are drawn anew.
        lots = rng.random((len(active), features))
        anew = lots.argsort(1).argsort(1) < k[active][:, None]
        x[active] = np.where(anew, drawn(low, high, binary, (len(active),), rng), best_x[active])
    return best_x, done, queries


def drawn(
    low: Floats32,
    high: Floats32,
    binary: Mask,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> Floats32:
    """Random records within the features' ranges: evenly, or one of the two values.

    Args:
        low, high, binary: ``(features,)``. shape: before the features' axis.

    Returns:
        ``(*shape, features)``.
    """
    share = rng.random((*shape, len(low)), np.float32)
    return (low + (high - low) * np.where(binary, np.round(share), share)).astype(np.float32)
