"""Whether one model's figures stand out among those of models that are said to be trained as it was."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


def stands_out(target: float, first: ArrayLike, second: ArrayLike) -> float | None:
    """Two-sided p-value: a model like the others has a figure as far from their mean with that probability.

    Student's t with m - 1 degrees of freedom. The models of a complementary pair share no record, the target shares
    half of them with each; so the two of a pair differ more than the target does from either. The variance is
    therefore taken within the first and within the second models, never between the two of a pair, and the mean over
    all is counted as if it rested on m models, which it does at least.

    Args:
        target: the figure of the target. first, second: ``(m,)`` of the two models of each pair; ``second`` is empty
            where models do not come in pairs.

    Returns:
        None with fewer than two pairs, or where all models have the same figure.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (first, second)]
    sides = [side for side in sides if len(side)]
    if not sides or len(sides[0]) < 2:
        return None
    pairs = len(sides[0])
    variance = float(np.mean([side.var(ddof=1) for side in sides]))
    away = target - float(np.concatenate(sides).mean())
    if variance <= 0.0:
        return None
    t = abs(away) / (sqrt(variance) * sqrt(1 + 1 / pairs))
    return float(2 * special.stdtr(pairs - 1, -t))
