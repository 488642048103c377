"""Which records may be named as members if only a small share of the named may be wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import StudyError
from memberwise.types.arrays import Floats, Mask


def conformal_p_values(scores: ArrayLike, calibration: ArrayLike) -> Floats:
    """How often a non-member scores as high: (1 + number of calibration scores >= score) / (1 + their number).

    Valid for a non-member that is exchangeable with those of the calibration (Bates et al. 2023, Testing for outliers
    with conformal p-values). The smallest possible value is 1 / (k + 1).

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, no NaN. calibration: ``(k,)`` scores of non-members.
    """
    ascending = np.sort(np.asarray(calibration, dtype=np.float64))
    below = np.searchsorted(ascending, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1 + len(ascending) - below) / (1 + len(ascending)), dtype=np.float64)


def named_as_members(p_values: ArrayLike, share: float) -> Mask:
    """The records that Benjamini and Hochberg (1995) name, at an expected share of false names of at most ``share``.

    Args:
        p_values: ``(n,)``, small = more likely a member. share: in (0, 1).

    Returns:
        ``(n,)``, True where a record is named.

    Raises:
        StudyError: the share is not in (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise StudyError("the share of false names is out of range", expected="a number in (0, 1)", found=repr(share))
    from scipy.stats import false_discovery_control

    p = np.asarray(p_values, dtype=np.float64)
    if not len(p):
        return np.zeros(0, bool)
    return np.asarray(false_discovery_control(p, method="bh") <= share * (1 + 1e-12))
