"""What output defences share: they take full answers and answer scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from memberwise.training.answering import Ask, Records
from memberwise.training.kind import Kind


class OutputDefence:
    """A defence that learns nothing and asks once; the others override what differs (see training.answering.Answer)."""

    keeps_label = True
    queries = 1

    def gives(self, kind: Kind) -> Kind:
        return "scores"

    def fit(self, ask: Ask, members: Records, reference: Records | None, rng: np.random.Generator) -> Any:
        return None

    def answer(self, ask: Ask, x: Records, state: Any, key: bytes) -> NDArray[Any]:
        raise NotImplementedError


def as_probabilities(answers: NDArray[Any]) -> NDArray[np.float64]:
    """Answers as they are where they are non-negative and sum to 1 at most, else their softmax."""
    values = np.asarray(answers, np.float64)
    if values.min() >= 0 and values.sum(-1).max() <= 1 + 1e-3:
        return values
    return np.asarray(softmax(values, axis=-1))
