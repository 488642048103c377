"""Temperature: flatter probabilities (Shokri et al. 2017, section VIII.A)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.defences.output.base import OutputDefence
from memberwise.training.answering import Ask, Records
from memberwise.training.kind import Kind


class Temperature(OutputDefence):
    """Divide logits (or log-probabilities) by ``t``; larger is flatter. An attacker who reads logits loses nothing."""

    def __init__(self, t: float = 5.0) -> None:
        self.t = t

    def gives(self, kind: Kind) -> Kind:
        return "logits"

    def answer(self, ask: Ask, x: Records, state: Any, key: bytes) -> NDArray[Any]:
        values = np.asarray(ask(x), np.float64)
        if values.min() >= 0 and np.allclose(values.sum(-1), 1, atol=1e-3):
            values = np.log(np.maximum(values, 1e-30))
        return values / self.t
