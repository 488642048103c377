"""What a defence that makes up records must know of them: their range, and which features have two values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memberwise.types.arrays import Array, Floats32, Mask

if TYPE_CHECKING:
    from memberwise.targets.base import Records


@dataclass(frozen=True)
class Features:
    """``(d,)`` smallest and largest value of each feature, and whether it takes no other; pixels lie in [0, 1]."""

    low: Floats32
    high: Floats32
    binary: Mask

    @classmethod
    def of(cls, x: Records) -> Features:
        """What is known of the features of ``(n, ...)`` records."""
        size = x[0].size
        if x.ndim > 2:
            return cls(np.zeros(size, np.float32), np.ones(size, np.float32), np.zeros(size, bool))
        low, high = x.min(0), x.max(0)
        return cls(low, high, ((x == low) | (x == high)).all(0))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Features:
        """What ``vars`` gave: three ``(features,)`` arrays."""
        return cls(arrays["low"], arrays["high"], arrays["binary"])
