"""The judge: boosted trees that tell rows of members from others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from memberwise.types.arrays import Floats, Floats32, Mask

# Within noise of the best of a dozen settings tried; half the features at each split.
TREES: dict[str, object] = {
    "max_iter": 90,
    "learning_rate": 0.09,
    "max_leaf_nodes": 10,
    "min_samples_leaf": 60,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "max_bins": 127,
    "early_stopping": False,
}


def judge(x: Floats32, member: Mask, rng: np.random.Generator) -> Callable[[Floats32], Floats]:
    """Train on rows of features; returns the log odds of "member" of rows, HIGHER = MORE LIKELY A MEMBER.

    Args:
        x: ``(n, features)``. member: ``(n,)``.

    Returns:
        A function of ``(k, features)`` rows, which gives ``(k,)`` log odds.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(**TREES, random_state=int(rng.integers(2**31))).fit(x, member)
    return lambda rows: np.asarray(trees.decision_function(rows), np.float64)
