"""Top-k: only the largest probabilities are answered (Shokri et al. 2017, section VIII.A)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from memberwise.defences.output.base import OutputDefence, as_probabilities
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class TopK(OutputDefence):
    """The ``k`` largest probabilities as they are and 0 for the rest; fewer hide more. Of ties the first stays."""

    grid = ({"k": 3}, {"k": 1})

    k: Annotated[int, Field(ge=1)] = 3

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        values = as_probabilities(target.predict(x), target.kind)
        kept = np.argsort(-values, axis=-1, kind="stable")[..., : self.k]
        out = np.zeros_like(values)
        np.put_along_axis(out, kept, np.take_along_axis(values, kept, -1), -1)
        return out
