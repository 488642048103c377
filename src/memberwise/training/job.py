"""The unit of work: which rows, which targets, which step and recipe, from which seed. Plain arrays in and out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memberwise.training.network import Tensors
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step


@dataclass(frozen=True)
class Job:
    """One model to train.

    Attributes:
        rows: ``(n,)`` row numbers of the data.
        step: the training step (plain, or a defence's).
        recipe: epochs, batches, optimiser.
        seed: the model's own seed: initialisation, order of batches, dropout.
        targets: ``(n,)`` class numbers or ``(n, classes)`` soft labels instead of the data's labels, or None.
        init: parameters to begin from instead of a fresh initialisation, or None.
        validation: ``(v,)`` row numbers of the data on which training is stopped early, where the recipe has patience.
    """

    rows: NDArray[np.int64]
    step: Step
    recipe: Recipe
    seed: int
    targets: NDArray[np.float32] | NDArray[np.int64] | None = None
    init: dict[str, NDArray[np.float32]] | None = None
    validation: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class TrainedStack:
    """Models trained together: every tensor has the model as its first dimension.

    Attributes:
        params, buffers: by name, ``(m, ...)``.
        losses: ``(m, epochs)`` mean training loss of each epoch; NaN in epochs after a model's early stop.
        own: the step's own tensors at the end, ``(m, ...)``.
    """

    params: Tensors
    buffers: Tensors
    losses: NDArray[np.float64]
    own: Tensors = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.losses)
