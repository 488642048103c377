"""Short descriptions of records, whose distances tell altered copies from strangers; they stay in memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from memberwise.gateway.neighbours import FREQUENCIES, frequencies, kind_of
from memberwise.gateway.policy import Neighbourhood
from memberwise.types.arrays import Array, Floats32

WIDTH = 32
# An altered copy is nearer than this share of the median distance between strangers: of copies about half and more are,
# of strangers 13 % at most (docs/decisions.md).
NEAR = {"cells": 0.3, "image": 0.15}
# Distances between strangers are known from so many questions on; one in EVERY later ones replaces the oldest.
KNOWN, KEPT, EVERY = 32, 64, 10
# Of a client so many last questions are compared.
COMPARED = 500


def sketches(x: Floats32, secret: bytes, config: Neighbourhood) -> Floats32:
    """``(n, 32)``: of an image its low frequencies, the lowest weighing most, without what a mirror changes; of other
    records random projections.

    Args:
        x: ``(n, *shape)``. secret: at most 64 bytes.
    """
    if kind_of(x.shape[1:], config) == "image":
        counts = frequencies(x)
        height, width = (min(side, FREQUENCIES) for side in x.shape[-2:])
        down, right = np.indices((height, width))
        weights = np.exp(-((np.pi / 10) ** 2) * (down**2 + right**2) / 2) * (right % 2 == 0)
        kept = (counts * weights.ravel())[:, weights.ravel() > 0]
    else:
        flat = np.asarray(x, np.float32).reshape(len(x), -1)
        kept = flat @ _projection(secret, flat.shape[1])
    return np.pad(kept, ((0, 0), (0, max(0, WIDTH - kept.shape[1]))))[:, :WIDTH].astype(np.float32)


class Strangers:
    """How far apart the questions of all clients are, from a sample of them."""

    def __init__(self) -> None:
        self._seen = 0
        self._sample: list[Floats32] = []
        self.distance = 0.0

    def add(self, sketch: Floats32) -> None:
        """Take note of a question's sketch ``(32,)``; ``distance`` is the median between two, 0 while unknown."""
        self._seen += 1
        if len(self._sample) < KEPT:
            self._sample.append(sketch)
        elif self._seen % EVERY == 0:
            self._sample = [*self._sample[1:], sketch]
        else:
            return
        if len(self._sample) >= KNOWN:
            every = np.stack(self._sample)
            apart = distances(every[:, None], every[None])[np.triu_indices(len(every), 1)]
            self.distance = float(np.median(apart))


def distances(one: Array, other: Array) -> Array:
    """Euclidean distances along the last axis: ``(..., 32)`` and ``(..., 32)`` give ``(...)``."""
    return np.asarray(np.sqrt(np.square(one - other).sum(-1)))


@lru_cache(maxsize=8)
def _projection(secret: bytes, width: int) -> Floats32:
    rng = np.random.default_rng(int.from_bytes(secret, "big"))
    projection: Floats32 = (rng.standard_normal((width, WIDTH)) / np.sqrt(WIDTH)).astype(np.float32)
    return projection
