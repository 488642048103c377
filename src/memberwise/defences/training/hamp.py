"""HAMP's training part: labels of high entropy, and a reward for answers of high entropy."""

from __future__ import annotations

from math import log
from typing import Annotated, Literal

import torch
from pydantic import Field
from scipy.special import xlogy
from torch import Tensor

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep, entropy, soft_labels
from memberwise.training.step import Step

Reduction = Literal["batchmean", "mean"]


class Hamp(Options):
    """loss = KL(labels || p) - alpha * entropy(p), with labels whose entropy is at least gamma of the largest possible.

    Authors' values (gamma / alpha, with reduction "mean"): Purchase-100 0.8 / 0.01, Texas-100 0.6 / 0.01, Location-30
    0.5 / 0.001, CIFAR-10 0.95 / 0.001, CIFAR-100 0.5 / 0.005. Their recipe: SGD with learning rate 0.5 (CIFAR-100 1.0),
    momentum 0.99 (begun anew every epoch, which is not done here), weight decay 1e-5, batches of 64, a tenth of the
    rate from epochs 60, 90 and 150, 100 epochs (CIFAR 200), the checkpoint by validation.

    Attributes:
        gamma: entropy of the labels as a share of log C; more hides more, 0 keeps the labels.
        alpha: weight of the entropy; more hides more. Default: the authors' for Location-30, times its 30 classes.
        reduction: "batchmean" is KL's mean over records; "mean", as released, also divides it by the number of classes,
            which makes the same alpha that many times as heavy, and the learning rate that many times as small.
        answer: the released model answers through the output defence "hamp", the second half of the method. Without it
            members may stand out more than in plain training (docs/defences.md).
    """

    gamma: Annotated[float, Field(ge=0, le=1)] = 0.5
    alpha: Annotated[float, Field(ge=0)] = 0.03
    reduction: Reduction = "batchmean"
    answer: bool = True


class HampStep(RecordStep):
    """See ``Hamp``."""

    def __init__(
        self,
        gamma: float,
        alpha: float,
        classes: int,
        reduction: Reduction = "batchmean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(label_smoothing)
        self.top, self.rest = label_values(classes, gamma)
        self.alpha, self.reduction = alpha, reduction

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        classes = logits.shape[-1]
        labels = self.rest + (self.top - self.rest) * soft_labels(target, classes, self.label_smoothing)
        divergence = (torch.xlogy(labels, labels) - labels * torch.log_softmax(logits, -1)).sum(-1)
        return divergence / (classes if self.reduction == "mean" else 1) - self.alpha * entropy(logits)


def label_values(classes: int, gamma: float) -> tuple[float, float]:
    """Probabilities of the true class and of each other one in a label.

    The first falls from 1 in steps of 0.01, at most to 1 / ``classes``, until the label's entropy reaches ``gamma`` log
    ``classes``: 0.26 and 0.0822 for 10 classes and gamma 0.95.
    """
    for hundredths in range(100, 0, -1):
        top = max(hundredths / 100, 1 / classes)
        rest = (1 - top) / (classes - 1)
        if -(xlogy(top, top) + (classes - 1) * xlogy(rest, rest)) >= gamma * log(classes) - 1e-12:
            break
    return top, rest


def step(options: Hamp, fit: Fit) -> Step:
    """The training step on softened labels."""
    return HampStep(options.gamma, options.alpha, fit.classes, options.reduction, fit.label_smoothing)


def answer(options: Hamp) -> list[dict[str, object]]:
    """The output defence that belongs to it, unless it is switched off."""
    return [{"name": "hamp"}] if options.answer else []


DEFENCE = TrainingDefence(
    name="hamp",
    options=Hamp,
    summary="Labels and answers of high entropy in training; scores that only keep the order in the answer.",
    source="Chen and Pattabiraman 2024, HAMP, NDSS",
    step=step,
    answer=answer,
    grid=(
        {"gamma": 0.3, "alpha": 0.01},
        {"gamma": 0.5, "alpha": 0.03},
        {"gamma": 0.7, "alpha": 0.1},
        {"gamma": 0.9, "alpha": 0.1},
    ),
)
