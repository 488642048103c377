"""Confidence penalty: being sure costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep, entropy
from memberwise.training.step import Step


class ConfidencePenalty(Options):
    """``strength`` beta: the loss is cross-entropy minus beta times the entropy of the answer; more hides more."""

    strength: Annotated[float, Field(ge=0)] = 0.1


class ConfidencePenaltyStep(RecordStep):
    """CE - ``strength`` * H(p)."""

    def __init__(self, strength: float, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.strength = strength

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.plain(logits, target) - self.strength * entropy(logits)


def step(options: ConfidencePenalty, fit: Fit) -> Step:
    """The training step with the penalty on answers of low entropy."""
    return ConfidencePenaltyStep(options.strength, fit.label_smoothing)


DEFENCE = TrainingDefence(
    name="confidence-penalty",
    options=ConfidencePenalty,
    summary="Answers of low entropy cost.",
    source="Pereyra et al. 2017; a baseline of Chen et al. 2022",
    step=step,
    grid=tuple({"strength": value} for value in (0.1, 0.3, 1.0, 3.0)),
)
