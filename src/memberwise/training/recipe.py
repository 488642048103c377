"""The recipe: epochs, batches, optimiser and learning rate, the same for the target and every shadow model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, pi

import torch
from torch import Tensor

from memberwise.study import TrainingStudy


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; ``learning_rate`` is the peak, reached after ``warmup`` epochs."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: str
    warmup: int
    clip_norm: float | None

    @classmethod
    def of(cls, study: TrainingStudy) -> Recipe:
        return cls(**{name: getattr(study, name) for name in cls.__dataclass_fields__})

    def steps_per_epoch(self, rows: int) -> int:
        return ceil(rows / self.batch_size)

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate at a step: linear warm-up, then constant or half a cosine down to 0."""
        warm, total = self.warmup * steps_per_epoch, self.epochs * steps_per_epoch
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + cos(pi * (step - warm) / max(1, total - warm)))

    def optimiser(self, params: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimiser over stacked parameters: its update is element-wise, so a stack is like one model."""
        fused = all(p.dtype is torch.float32 for p in params)
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                params, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay, fused=fused
            )
        maker = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return maker(params, lr=self.learning_rate, weight_decay=self.weight_decay, fused=fused)


def clip_per_model(gradients: dict[str, Tensor], limit: float) -> None:
    """Scale each model's gradient in a stack down to the norm ``limit``, in place."""
    square = sum(g.flatten(1).square().sum(1) for g in gradients.values())
    assert isinstance(square, Tensor)
    scale = (limit / square.sqrt().clamp(min=1e-12)).clamp(max=1.0)
    for g in gradients.values():
        g.mul_(scale.view(-1, *[1] * (g.dim() - 1)))
