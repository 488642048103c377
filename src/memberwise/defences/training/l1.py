"""L1 regularisation: every weight costs its magnitude."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.models.network import Network, Tensors
from memberwise.training.step import Batch, State, Step


class L1(Options):
    """``strength`` lambda: the loss has lambda times the sum of magnitudes of all parameters added; more hides more."""

    strength: Annotated[float, Field(ge=0)] = 1e-4


class L1Step(Step):
    """Cross-entropy plus ``strength`` times the sum of magnitudes of all parameters, biases included."""

    def __init__(self, strength: float, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.strength = strength

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        loss, state = super().loss(network, params, state, batch, key)
        for value in params.values():
            loss = loss + self.strength * value.abs().sum()
        return loss, state


def step(options: L1, fit: Fit) -> Step:
    """The training step with the weights' magnitudes in the loss."""
    return L1Step(options.strength, fit.label_smoothing)


DEFENCE = TrainingDefence(
    name="l1",
    options=L1,
    summary="Every weight costs its magnitude, so that few are used.",
    source="Tibshirani 1996, the lasso; a baseline",
    step=step,
    grid=tuple({"strength": value} for value in (3e-5, 1e-4, 3e-4, 1e-3)),
)
