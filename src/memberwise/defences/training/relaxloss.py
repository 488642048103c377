"""RelaxLoss: training pulls the mean loss to a level above zero instead of to zero."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep, mean_of_records, true_class
from memberwise.models.network import Network, Tensors
from memberwise.training.step import Batch, State, Step

Form = Literal["paper", "released"]


class RelaxLoss(Options):
    """Below the level ``alpha`` of a batch's mean loss, even epochs climb and odd ones flatten the answers.

    Epochs count from 0. Flattening trains towards soft labels made of the model's own answer: p_y for the true class,
    the rest shared equally by the others.

    Attributes:
        alpha: level of the mean cross-entropy, in nats; more hides more, 0 is plain training. Useful between the final
            training loss and the test loss of plain training. Authors: Purchase-100 0.8, Texas-100 2.5, CIFAR-10
            1 (ResNet-20) or 0.4 (VGG-11), CIFAR-100 3 or 0.5.
        upper: p_y in the soft label is at most this (authors: Purchase-100 0.3, Texas-100 0.1, CIFAR 1).
        form: "paper" trains every record towards its soft label; "released" only those answered wrongly, and climbs
            the cross-entropy of all of them besides.
        detach: the soft labels are constants. None: as the form has it (paper: yes; released: no).
    """

    alpha: Annotated[float, Field(ge=0)] = 0.5
    upper: Annotated[float, Field(gt=0, le=1)] = 1.0
    form: Form = "paper"
    detach: bool | None = None


class RelaxLossStep(RecordStep):
    """See ``RelaxLoss``. The mean is that of the batch: single records may still be fitted to the end."""

    couples_rows = True

    def __init__(
        self,
        alpha: float,
        upper: float = 1.0,
        form: Form = "paper",
        detach: bool | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(label_smoothing)
        self.alpha, self.upper, self.form = alpha, upper, form
        self.detach = form == "paper" if detach is None else detach

    def loss(self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor) -> tuple[Tensor, State]:
        logits, buffers = network(params, state.buffers, batch.x, key)
        mean = mean_of_records(self.plain(logits, batch.target), batch.mask)
        flatter = mean_of_records(self.losses(logits, batch.target), batch.mask)
        relaxed = torch.where(batch.epoch % 2 == 0, self.alpha - mean, flatter)
        return torch.where(mean > self.alpha, mean, relaxed), state._replace(buffers=buffers)

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        """What an odd epoch takes below the level."""
        one_hot = true_class(target, logits.shape[-1])
        log_p = torch.log_softmax(logits, -1)
        labels = flattened(log_p.exp(), one_hot, self.upper)
        towards = -((labels.detach() if self.detach else labels) * log_p).sum(-1)
        if self.form == "paper":
            return towards
        right = (one_hot & true_class(logits, logits.shape[-1])).any(-1)
        return torch.where(right, 0.0, towards) - self.plain(logits, target)


def flattened(p: Tensor, one_hot: Tensor, upper: float) -> Tensor:
    """``(batch, classes)`` soft labels: min(p_y, upper) for the true class, the rest equally for the others."""
    top = (p * one_hot).sum(-1, keepdim=True).clamp(max=upper)
    return torch.where(one_hot, top, (1 - top) / (p.shape[-1] - 1))


def step(options: RelaxLoss, fit: Fit) -> Step:
    """The training step that holds the loss at its level."""
    return RelaxLossStep(options.alpha, options.upper, options.form, options.detach, fit.label_smoothing)


DEFENCE = TrainingDefence(
    name="relaxloss",
    options=RelaxLoss,
    summary="The mean loss is held at a level above zero: below it training climbs, or flattens the answers.",
    source="Chen, Yu and Fritz 2022, RelaxLoss, ICLR, algorithm 1",
    step=step,
    grid=tuple({"alpha": value} for value in (0.3, 0.6, 1.0, 1.5)),
)
