"""Small models with known answers, and what they are asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from memberwise.signals.ask import collect_extras
from memberwise.signals.questions import Questions
from memberwise.targets.base import Target


class Linear(Target):
    """Two classes with the boundary w.x + b = 0; counts the records it is asked about."""

    kind = "logits"

    def __init__(self, w: Any, b: Any) -> None:
        self.w, self.b, self.questions = w, b, 0

    def __len__(self) -> int:
        return 1

    def predict(self, x: Any) -> Any:
        self.questions += len(x)
        z = x.reshape(len(x), -1) @ self.w + self.b
        return np.stack([-z, z], -1)[None]

    def margin(self, x: Any) -> Any:
        return (x.reshape(len(x), -1) @ self.w + self.b) / np.linalg.norm(self.w)


class LabelsOf(Target):
    """The same model, of which only labels are answered."""

    kind = "labels"

    def __init__(self, model: Any) -> None:
        self.model = model

    def __len__(self) -> int:
        return 1

    def predict(self, x: Any) -> Any:
        return self.model.predict(x).argmax(-1)


def asked_about(x: Any, y: Any, *extras: Any, classes: int = 2, seed: int = 0) -> Questions:
    """Every record audited, nothing else."""
    rows, none = np.arange(len(x)), np.zeros(0, np.int64)
    return Questions(x, y, classes, rows, none, none, none, rng_seed=seed, extras=extras)


class Job:
    seed = 1


def gather_extras(model: Any, questions: Any, models: int = 1) -> Any:
    return collect_extras(model, model, [Job()] * models, questions)  # type: ignore[list-item]
