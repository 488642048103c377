"""Training on several binary labels a record: the sum over labels of the binary cross-entropy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from memberwise.models.network import Network, Tensors
from memberwise.training.step import Batch, State, Step
from memberwise.types.arrays import Array


class LabelSetStep(Step):
    """A plain step whose loss is minus the log-probability of all of a record's labels: a sum, as the loss shown.

    Args:
        mean: the mean over labels instead, as ``torch.nn.BCEWithLogitsLoss`` has it by default.
        sets: ``(k, L)`` 0/1: the labels of each class number.
        label_smoothing: s makes 0 and 1 into s / 2 and 1 - s / 2.
    """

    def __init__(self, sets: Array, label_smoothing: float = 0.0, mean: bool = False) -> None:
        super().__init__(label_smoothing)
        labels = sets.shape[1]
        # As many rows as labels at least: what tries a path draws class numbers up to the number of answers.
        padded = np.zeros((max(len(sets), labels), labels), np.uint8)
        padded[: len(sets)] = sets
        self.labels, self.mean, self.sets = labels, mean, padded.tobytes().hex()

    def record_losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """The sum over labels ``(n,)``, whatever the loss trained with.

        Args:
            logits: ``(n, L)``. target: ``(n,)`` numbers of label sets.
        """
        bits = _table(self.sets, self.labels, logits.device)[target]
        return functional.binary_cross_entropy_with_logits(logits, bits, reduction="none").sum(-1)

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        """Mean loss of a batch, ``()``, and the state after it.

        Args:
            batch: ``(n, ...)`` records with ``(n,)`` numbers of label sets. key: ``()``.
        """
        logits, buffers = network(params, state.buffers, batch.x, key)
        bits = _table(self.sets, self.labels, logits.device)[batch.target]
        bits = bits * (1 - self.label_smoothing) + self.label_smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, bits, reduction="none").sum(-1)
        losses = losses / self.labels if self.mean else losses
        if batch.mask is None:
            return losses.mean(), state._replace(buffers=buffers)
        return (losses * batch.mask).sum() / batch.mask.sum().clamp(min=1), state._replace(buffers=buffers)


@lru_cache(maxsize=8)
def _table(sets: str, labels: int, device: torch.device) -> Tensor:
    """``(k, L)`` float32 labels of each set."""
    values = np.frombuffer(bytes.fromhex(sets), np.uint8).reshape(-1, labels)
    return torch.from_numpy(values.astype(np.float32)).to(device)
