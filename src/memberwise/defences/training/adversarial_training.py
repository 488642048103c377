"""Adversarial training: robust against perturbed inputs, which is all it is for; audited as a comparison."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.func import grad
from torch.nn import functional

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import fold, uniform
from memberwise.training.step import Batch, State, Step

# Keeps the draw of the start apart from what else is drawn from a step's key.
_START = 0x50474400


class AdversarialTraining(Options):
    """Each step trains on records moved within ``eps`` (largest change of a value) to where the loss is high.

    Attributes:
        method: "fgsm", one step of eps along the sign of the gradient; "pgd", ``steps`` of ``step_size`` from a random
            start.
        eps: in units of the records (images lie in [0, 1]); 0 is plain training. MNIST 0.3, CIFAR-10 8/255.
        steps, step_size: of "pgd"; without a step size 2.5 * eps / steps.
        low, high: values are not moved out of this range.
    """

    method: Literal["fgsm", "pgd"] = "pgd"
    eps: Annotated[float, Field(ge=0)] = 0.1
    steps: Annotated[int, Field(ge=1)] = 7
    step_size: Annotated[float, Field(gt=0)] | None = None
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low below high")
        return self


class AdversarialStep(Step):
    """Cross-entropy on perturbed records alone; they are made by the model in evaluation mode."""

    def __init__(self, options: AdversarialTraining, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.options = options

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        moved = batch._replace(x=self.perturbed(network, params, state, batch, key))
        return super().loss(network, params, state, moved, key)

    def perturbed(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> Tensor:
        """``(batch, ...)`` records within eps and the range, moved to raise the loss; a constant for the gradient."""
        options, x = self.options, batch.x
        frozen = {name: value.detach() for name, value in params.items()}

        def total(records: Tensor) -> Tensor:
            return functional.cross_entropy(
                network(frozen, state.buffers, records, None)[0], batch.target, reduction="sum"
            )

        lowest, highest = allowed(x, options.eps, options.low, options.high)
        if options.method == "fgsm":
            fast: Tensor = (x + options.eps * grad(total)(x).sign()).clamp(lowest, highest).detach()
            return fast
        size = options.step_size or 2.5 * options.eps / options.steps
        moved = (x + options.eps * (2 * uniform(fold(key, _START), x.shape) - 1)).clamp(lowest, highest)
        for _ in range(options.steps):
            moved = (moved + size * grad(total)(moved).sign()).clamp(lowest, highest).detach()
        return moved


def allowed(x: Tensor, eps: float, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Smallest and largest values to which each value may move; one outside [low, high] may only move inwards.

    Args:
        x: ``(n, ...)`` features. eps: in their unit, larger = stronger. low, high: bounds.

    Returns:
        Two tensors ``(n, ...)``.
    """
    return torch.minimum(x, (x - eps).clamp(min=low)), torch.maximum(x, (x + eps).clamp(max=high))


def step(options: AdversarialTraining, fit: Fit) -> Step:
    """The training step that perturbs records first."""
    return AdversarialStep(options, fit.label_smoothing)


DEFENCE = TrainingDefence(
    name="adversarial-training",
    options=AdversarialTraining,
    summary="Trains on perturbed records (FGSM, PGD): robust against changed inputs, which is all it is for.",
    source="Madry et al. 2018, PGD; Goodfellow et al. 2015, FGSM",
    reported="more leakage (Song, Shokri and Mittal 2019: attack accuracy 57 to 75% on CIFAR-10)",
    step=step,
    alters_records=True,
    grid=tuple({"eps": value} for value in (0.03, 0.1, 0.3)),
)
