"""Intervals for shares (binomial proportions) and for the difference of two of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from memberwise.errors import StudyError
from memberwise.types.arrays import Floats


def error_rate(confidence: float) -> float:
    """1 - confidence; StudyError unless the confidence lies in (0, 1)."""
    if not 0.0 < confidence < 1.0:
        raise StudyError("the confidence is out of range", expected="a number in (0, 1)", found=repr(confidence))
    return 1.0 - confidence


def clopper_pearson_lower(k: ArrayLike, n: ArrayLike, error: ArrayLike) -> Floats:
    """One-sided lower bound of a share: the truth is below it with probability at most ``error``.

    Args:
        k: successes, ``(...,)`` of any shape. n: trials, error: in (0, 1); both broadcast against ``k``.

    Returns:
        BetaInv(error; k, n - k + 1), 0 where ``k == 0`` (Clopper and Pearson 1934); ``(...,)`` as ``k``.
    """
    successes, trials = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    bound = special.betaincinv(np.maximum(successes, 1.0), trials - successes + 1.0, np.asarray(error, np.float64))
    return np.asarray(np.where(successes <= 0, 0.0, bound), dtype=np.float64)


def clopper_pearson_upper(k: ArrayLike, n: ArrayLike, error: ArrayLike) -> Floats:
    """One-sided upper bound of a share: the truth is above it with probability at most ``error``.

    The mirror of :func:`clopper_pearson_lower`: BetaInv(1 - error; k + 1, n - k), 1 where ``k == n``.

    Returns:
        ``(...,)`` as ``k``.
    """
    return 1.0 - clopper_pearson_lower(np.asarray(n) - np.asarray(k), n, error)


def clopper_pearson(k: ArrayLike, n: ArrayLike, confidence: float) -> tuple[Floats, Floats]:
    """Two-sided interval ``(low, high)`` of a share, half of the error rate on either side. Vectorised."""
    half = error_rate(confidence) / 2
    return clopper_pearson_lower(k, n, half), clopper_pearson_upper(k, n, half)


def wilson(k: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval ``(low, high)`` of a share (Wilson 1927)."""
    z = float(special.ndtri(1.0 - error_rate(confidence) / 2))
    centre, scale = (k + z * z / 2) / (n + z * z), z / (n + z * z)
    spread = scale * float(np.sqrt(k * (n - k) / n + z * z / 4))
    return max(0.0, centre - spread), min(1.0, centre + spread)


def newcombe_difference(k1: int, n1: int, k0: int, n0: int, confidence: float) -> tuple[float, float]:
    """Interval ``(low, high)`` of the difference k1/n1 - k0/n0 of two independent shares.

    Wilson's limits of each share, combined by squaring and adding (Newcombe 1998, method 10; the MOVER). It has
    width where both shares are 0 or 1, unlike the textbook interval.
    """
    p1, p0 = k1 / n1, k0 / n0
    (low1, high1), (low0, high0) = wilson(k1, n1, confidence), wilson(k0, n0, confidence)
    low = p1 - p0 - float(np.hypot(p1 - low1, high0 - p0))
    high = p1 - p0 + float(np.hypot(high1 - p1, p0 - low0))
    return max(-1.0, low), min(1.0, high)
