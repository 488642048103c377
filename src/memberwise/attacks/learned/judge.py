"""The judge: boosted trees that tell rows of members from others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from memberwise.types.arrays import Floats, Floats32, Mask

# Small trees bear targets unlike the shadow models better than larger ones; half the features at each split.
TREES: dict[str, object] = {
    "max_iter": 60,
    "learning_rate": 0.12,
    "max_leaf_nodes": 5,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "max_bins": 127,
    "early_stopping": False,
}
# Rows a leaf holds at least: one in so many of all, between these.
ROWS_A_LEAF, LEAF = 100, (20, 200)


def judge(x: Floats32, member: Mask, rng: np.random.Generator) -> Callable[[Floats32], Floats]:
    """Train on rows of features; returns the log odds of "member" of rows, HIGHER = MORE LIKELY A MEMBER.

    Args:
        x: ``(n, features)``. member: ``(n,)``.

    Returns:
        A function of ``(k, features)`` rows, which gives ``(k,)`` log odds.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    leaf = int(np.clip(len(x) // ROWS_A_LEAF, *LEAF))
    trees = HistGradientBoostingClassifier(**TREES, min_samples_leaf=leaf, random_state=int(rng.integers(2**31)))
    trees.fit(x, member)
    return lambda rows: np.asarray(trees.decision_function(rows), np.float64)
