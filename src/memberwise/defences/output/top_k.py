"""Top-k: only the largest probabilities are answered (Shokri et al. 2017, section VIII.A)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.defences.output.base import OutputDefence, as_probabilities
from memberwise.training.answering import Ask, Records


class TopK(OutputDefence):
    """Answer the ``k`` largest probabilities as they are and 0 for the rest; fewer hide more."""

    def __init__(self, k: int = 3) -> None:
        self.k = k

    def answer(self, ask: Ask, x: Records, state: Any, key: bytes) -> NDArray[Any]:
        values = as_probabilities(ask(x))
        kept = np.argsort(-values, axis=-1, kind="stable")[..., : self.k]
        out = np.zeros_like(values)
        np.put_along_axis(out, kept, np.take_along_axis(values, kept, -1), -1)
        return out
