"""High confidence: small probabilities are not answered (the Adversarial Robustness Toolbox's post-processor)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from memberwise.defences.output.base import OutputDefence, as_probabilities
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class HighConfidence(OutputDefence):
    """Answer 0 for probabilities below ``cutoff``; higher hides more. Where all are below, the label is lost."""

    grid = ({"cutoff": 0.25}, {"cutoff": 0.5})

    cutoff: Annotated[float, Field(ge=0, le=1)] = 0.25

    @property
    def keeps_label(self) -> bool:
        return False

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        values = as_probabilities(target.predict(x), target.kind)
        return np.where(values < self.cutoff, 0.0, values)
