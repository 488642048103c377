"""Reverse sigmoid: probabilities pushed towards the middle (Lee et al. 2018, arXiv:1806.00054)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field
from scipy.special import expit, logit

from memberwise.defences.output.base import OutputDefence, as_probabilities, refuse_labels, renormalised, with_label
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class ReverseSigmoid(OutputDefence):
    """p - beta (sigmoid(gamma logit p) - 1/2), cut off at 0 and brought back to a sum of 1; no random numbers.

    Written against copying a model. It is not monotone: very different confidences get the same answer, and among many
    classes the order may turn over.

    Args:
        beta: how far; 0 changes nothing. gamma: how steeply.
        keep_label: where another class would become the largest, it changes places with the label.
    """

    grid = ({"beta": 0.5}, {"beta": 1.0})

    beta: Annotated[float, Field(ge=0)] = 1.0
    gamma: Annotated[float, Field(gt=0)] = 0.1
    keep_label: bool = False

    @property
    def keeps_label(self) -> bool:
        return self.keep_label or self.beta == 0

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "probabilities"

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        values = as_probabilities(target.predict(x), target.kind)
        pushed = self.beta * (expit(self.gamma * logit(np.clip(values, 1e-9, 1 - 1e-9))) - 0.5)
        out = renormalised(values - pushed)
        return with_label(out, values.argmax(-1)) if self.keep_label else out
