"""The judge of the learned attack: boosted trees that tell members from non-members by their features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
# Small steps, small trees, half the features at each split: within noise of the best of a dozen settings tried.
TREES: dict[str, Any] = {
    "max_iter": 200,
    "learning_rate": 0.04,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 60,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "early_stopping": False,
}


def judge(
    x: Features, member: NDArray[np.bool_], rng: np.random.Generator
) -> Callable[[Features], NDArray[np.float64]]:
    """Train on rows of features; returns the log odds of "member" of rows, HIGHER = MORE LIKELY A MEMBER."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(**TREES, random_state=int(rng.integers(2**31))).fit(x, member)
    return lambda rows: np.asarray(trees.decision_function(rows), np.float64)
