"""Temperature: flatter probabilities (Shokri et al. 2017, section VIII.A)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from memberwise.defences.output.base import OutputDefence, as_logits, refuse_labels
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class Temperature(OutputDefence):
    """Divide logits (or log-probabilities) by ``t``; larger is flatter. An attacker who reads logits loses nothing."""

    grid = ({"t": 5.0}, {"t": 20.0})

    t: Annotated[float, Field(gt=0)] = 5.0

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "logits"

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        return as_logits(target.predict(x), target.kind) / self.t
