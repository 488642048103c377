"""Rounding: probabilities with few digits (Shokri et al. 2017, section VIII.A)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from memberwise.defences.output.base import OutputDefence, as_probabilities
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class Rounding(OutputDefence):
    """Round to ``digits`` decimals; fewer hide more. Rounding can tie classes, so the label may change."""

    grid = ({"digits": 3}, {"digits": 2}, {"digits": 1})

    digits: Annotated[int, Field(ge=0, le=15)] = 3

    @property
    def keeps_label(self) -> bool:
        return False

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        return np.round(as_probabilities(target.predict(x), target.kind), self.digits)
