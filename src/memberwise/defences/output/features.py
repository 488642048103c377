"""What a defence that makes up records must know of them: their range, and which features have two values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memberwise.defences.output.keyed import Random
from memberwise.types.arrays import Array, Arrays, Floats32, Mask

if TYPE_CHECKING:
    from memberwise.defences.output.base import Members, Rngs
    from memberwise.targets.base import Records, Target


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


class RandomWithinFeatures(Random):
    """An output defence that draws records within what it learned of the members' features."""

    def fit(self, target: Target, members: Members, reference: Records | None, rngs: Rngs) -> Sequence[object] | None:
        """Each model's ranges of its members' features, ``(n, ...)`` records, and its generator."""
        return [(Features.of(members(i)), rng) for i, rng in enumerate(rngs)]

    def pack(self, state: Any) -> Arrays:
        return dict(vars(state[0]))

    def unpack(self, arrays: Mapping[str, Array], rng: np.random.Generator) -> object:
        return Features.of_arrays(arrays), rng
