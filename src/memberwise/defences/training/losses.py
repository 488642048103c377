"""What steps with a loss of their own share: soft labels, means over the real records, a loss record by record."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from memberwise.models.network import Network, Tensors
from memberwise.training.step import Batch, State, Step


def soft_labels(target: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """``(batch, classes)`` labels from class numbers ``(batch,)`` or soft labels; smoothing mixes in 1 / classes."""
    soft = true_class(target, classes).float() if target.dim() == 1 else target
    return (1 - smoothing) * soft + smoothing / classes if smoothing else soft


def true_class(target: Tensor, classes: int) -> Tensor:
    """``(batch, classes)`` true at the class number, or at the largest of soft labels (or answers)."""
    number = target if target.dim() == 1 else target.argmax(-1)
    return number.unsqueeze(-1) == torch.arange(classes, device=target.device)


def mean_of_records(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the real records of ``(batch,)`` values."""
    return values.mean() if mask is None else (values * mask).sum() / mask.sum().clamp(min=1)


class RecordStep(Step):
    """A step whose loss is the mean over records of a function of their logits."""

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """``(batch,)`` losses from ``(batch, classes)`` logits and labels, hard or soft."""
        raise NotImplementedError

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        logits, buffers = network(params, state.buffers, batch.x, key)
        return mean_of_records(self.losses(logits, batch.target), batch.mask), state._replace(buffers=buffers)

    def plain(self, logits: Tensor, target: Tensor) -> Tensor:
        """``(batch,)`` cross-entropy, as in plain training."""
        return functional.cross_entropy(logits, target, reduction="none", label_smoothing=self.label_smoothing)


def entropy(logits: Tensor) -> Tensor:
    """``(batch,)`` entropy of the softmax, in nats."""
    log_p = torch.log_softmax(logits, -1)
    return -(log_p.exp() * log_p).sum(-1)
