"""Engines: how a block of jobs becomes answers. Modules train many at once; the rest in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.training.loop import Tick

Arrays = dict[str, NDArray[Any]]
GENERAL_PATH = "general-path"
Collect = Callable[[Target, Sequence[Job]], Arrays]


class Engine(Protocol):
    """Trains a block of jobs; what is collected from the models comes back, the models do not.

    Attributes:
        block: how many models one block holds.
        notes: what was noticed while models trained, as (code, message).
    """

    block: int

    @property
    def notes(self) -> list[tuple[str, str]]: ...

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Target:
        """Train and keep the models (the target)."""
        ...

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        """Train, collect arrays whose first dimension is the model, and let the models go."""
        ...


def _joined(parts: Sequence[Arrays]) -> Arrays:
    """Joined over models; what only the first ones were asked has them alone."""
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}
