"""The mean of a figure over several models, and how far they differ."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from memberwise.errors import DataError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import error_rate


def mean_over_models(
    values: ArrayLike, n_members: int, n_nonmembers: int, confidence: float = 0.95
) -> tuple[Estimate, float]:
    """The mean with Student's t interval, cut to [0, 1], and the standard deviation (ddof 1).

    Args:
        values: ``(k,)`` shares, one a model, k >= 2. n_members, n_nonmembers: of each model.

    Raises:
        DataError: fewer than two values.
    """
    value = np.asarray(values, dtype=np.float64)
    if len(value) < 2:
        raise DataError("a spread needs two models", expected="at least 2 values", found=str(len(value)))
    mean, deviation = float(value.mean()), float(value.std(ddof=1))
    half = float(special.stdtrit(len(value) - 1, 1 - error_rate(confidence) / 2)) * deviation / sqrt(len(value))
    estimate = Estimate(
        value=mean,
        low=max(0.0, mean - half),
        high=min(1.0, mean + half),
        n_members=n_members,
        n_nonmembers=n_nonmembers,
        method=f"Student t over {len(value)} models",
    )
    return estimate, deviation
