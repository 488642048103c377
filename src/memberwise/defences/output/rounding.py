"""Rounding: probabilities with few digits (Shokri et al. 2017, section VIII.A)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.defences.output.base import OutputDefence, as_probabilities
from memberwise.training.answering import Ask, Records


class Rounding(OutputDefence):
    """Round to ``digits`` decimals; fewer hide more. Rounding can tie classes, so the label may change."""

    keeps_label = False

    def __init__(self, digits: int = 3) -> None:
        self.digits = digits

    def answer(self, ask: Ask, x: Records, state: Any, key: bytes) -> NDArray[Any]:
        return np.round(as_probabilities(ask(x)), self.digits)
