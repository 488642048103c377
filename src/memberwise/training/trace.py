"""The loss trace: each record's loss in the epochs of the training, of which quantiles over epochs are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from memberwise.types.arrays import Floats32, Ints, Mask

# Of one model's ``(n, C)`` logits and its targets: ``(n,)`` in nats.
RecordLosses = Callable[[Tensor, Tensor], Tensor]
# Quantiles over epochs that are kept of a record's losses.
QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
# Of so many epochs at most, evenly spread, losses are kept where they are those of the training's own steps.
MOST = 100
# Where a step does not tell them, all records are looked at after an epoch. That takes about this share of its time (a
# forward pass is a third of a step, but where networks are small most of a step is not arithmetic).
LOOK, LOOK_CONVOLUTIONS = 1 / 15, 1 / 3
# Of the training's time; a training so short that this allows fewer looks has the fewest, and costs more.
SHARE, FEWEST = 0.05, 4


def traced_epochs(epochs: int, convolves: bool, in_step: bool) -> Ints:
    """``(k,)`` numbers of the epochs, from 0, whose losses count: evenly spread, the last among them.

    Args:
        in_step: the losses are those of the steps (``Step.tells_losses``), which cost next to nothing.
    """
    affordable = max(FEWEST, int(SHARE * epochs / (LOOK_CONVOLUTIONS if convolves else LOOK)))
    count = min(epochs, MOST if in_step else affordable)
    if count == epochs:
        return np.arange(epochs)
    return np.unique(np.linspace(epochs - 1, 0, count, endpoint=False).round().astype(np.int64))


class LossTrace:
    """Losses of a stack of models about the rows that each trains on.

    Attributes:
        in_step: each record's loss is that of the step whose batch it was in, with dropout and augmentation; else that
            after the epoch, in evaluation mode.
    """

    def __init__(self, epochs: int, convolves: bool, in_step: bool) -> None:
        self.in_step, self.epochs = in_step, frozenset(traced_epochs(epochs, convolves, in_step).tolist())
        self._losses: list[Tensor] = []
        self._batches: list[tuple[Tensor, Tensor]] = []

    def see(self, ids: Tensor, losses: Tensor) -> None:
        """Keep a step's losses, ``(m, batch)``; ids: ``(m, batch)`` places among the rows."""
        self._batches.append((ids, losses))

    def look(self, outputs: Tensor, targets: Tensor, record_losses: RecordLosses) -> None:
        """Keep the losses after an epoch.

        Args:
            outputs: ``(m, n, C)`` logits. targets: ``(m, n)`` class numbers or ``(m, n, C)`` soft labels.
            record_losses: of one model's.
        """
        each = [record_losses(one.float(), two) for one, two in zip(outputs, targets, strict=True)]
        losses = torch.stack(each)
        self._batches = [(torch.arange(losses.shape[1], device=losses.device).expand_as(losses), losses)]

    def after_epoch(self, running: Mask) -> None:
        """Put what was seen in an epoch into the order of the rows; ``running``: ``(m,)`` not stopped before it."""
        ids, losses = (torch.cat(parts, 1) for parts in zip(*self._batches, strict=True))
        ordered = torch.empty_like(losses).scatter_(1, ids, losses).float().cpu()
        ordered[~torch.from_numpy(running)] = torch.nan
        self._losses.append(ordered)
        self._batches = []

    def quantiles(self) -> Floats32:
        """``(m, q + 1, n)`` quantiles over the epochs that count (``QUANTILES``, linear in between); the last losses.

        In nats. The last ones are of the last such epoch before a model stopped.
        """
        kept = torch.stack(self._losses).numpy()
        quantiles = np.full((kept.shape[1], len(QUANTILES) + 1, kept.shape[2]), np.nan, np.float32)
        for model, rows in enumerate(quantiles):
            table = kept[~np.isnan(kept[:, model, 0]), model]
            if len(table):  # else it stopped before the first of these epochs
                rows[:-1], rows[-1] = np.quantile(table, QUANTILES, axis=0), table[-1]
        return quantiles


def joined_traces(parts: Sequence[Floats32 | None], order: Ints) -> Floats32 | None:
    """Several stacks' quantiles as one, ``(m, q, n)``, models in this order; NaN behind the rows of shorter ones.

    Args:
        order: ``(m,)``.
    """
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    longest = max(part.shape[2] for part in known)
    padded = [np.pad(part, ((0, 0), (0, 0), (0, longest - part.shape[2])), constant_values=np.nan) for part in known]
    return np.concatenate(padded)[order]
