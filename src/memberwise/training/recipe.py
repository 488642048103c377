"""The recipe: epochs, batches, optimiser and learning rate, the same for the target and every shadow model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, pi

from torch import Tensor

from memberwise.study.schema import TrainingConfig
from memberwise.training.optimisers import Adam, Sgd

# Share of the steps in which one-cycle rises.
RISE = 0.3


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; ``learning_rate`` is the peak, reached after ``warmup`` epochs.

    Attributes:
        steps, step_factor: epochs at which the rate is multiplied by the factor (schedule "step").
        augment: names of augmentations, in order (``training.augment``).
        patience: epochs without a better validation loss after which a model stops; None: it never does.
    """

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: str
    steps: tuple[int, ...]
    step_factor: float
    warmup: int
    clip_norm: float | None
    augment: tuple[str, ...]
    patience: int | None

    @classmethod
    def of(cls, study: TrainingConfig) -> Recipe:
        return cls(**{name: getattr(study, name) for name in cls.__dataclass_fields__})

    def steps_per_epoch(self, rows: int) -> int:
        """Batches in an epoch; a last batch of one record joins the one before it, as BatchNorm takes no single one."""
        single = rows % self.batch_size == 1 and rows > self.batch_size > 1
        return ceil(rows / self.batch_size) - single

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate at a step: linear warm-up, then the schedule.

        "constant" stays; "step" is multiplied by ``step_factor`` at the epochs ``steps``; "cosine" falls by half a
        cosine to 0; "one-cycle" is a cosine whose warm-up takes the first 30 % of all steps.
        """
        total = self.epochs * steps_per_epoch
        warm = max(1, round(RISE * total)) if self.schedule == "one-cycle" else self.warmup * steps_per_epoch
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.schedule == "constant":
            return self.learning_rate
        if self.schedule == "step":
            return self.learning_rate * self.step_factor ** sum(step >= epoch * steps_per_epoch for epoch in self.steps)
        return self.learning_rate * 0.5 * (1 + cos(pi * (step - warm) / max(1, total - warm)))

    def optimiser(self, params: Sequence[Tensor]) -> Sgd | Adam:
        """The optimiser over stacked parameters: its update is element-wise, so a stack is like one model.

        Args:
            params: ``(m, ...)`` each.
        """
        if self.optimizer == "sgd":
            return Sgd(params, self.momentum, self.nesterov, self.weight_decay)
        return Adam(params, self.weight_decay, decoupled=self.optimizer == "adamw")


def clip_per_model(gradients: dict[str, Tensor], limit: float) -> None:
    """Scale each model's gradient in a stack down to the norm ``limit``, in place."""
    square = sum(g.flatten(1).square().sum(1) for g in gradients.values())
    assert isinstance(square, Tensor)
    scale = (limit / square.sqrt().clamp(min=1e-12)).clamp(max=1.0)
    for g in gradients.values():
        g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
