"""Small data on which defences are tried."""

from __future__ import annotations

import numpy as np

from memberwise.types.arrays import Floats32, Ints

ROWS, FEATURES, CLASSES = 96, 8, 3


def records(seed: int) -> tuple[Floats32, Ints]:
    """Four times ``ROWS`` records around one centre a class, and their labels.

    Returns:
        ``(n, features)`` and ``(n,)`` class numbers.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, 4 * ROWS)
    centres = rng.random((CLASSES, FEATURES))
    return np.clip(0.5 * centres[y] + 0.5 * rng.random((4 * ROWS, FEATURES)), 0, 1).astype(np.float32), y
