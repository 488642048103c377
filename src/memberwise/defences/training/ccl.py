"""CCL: a loss that is convex while a record is badly fitted and concave once it is well fitted."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep, soft_labels
from memberwise.training.step import Step

Concave = Literal["exponential", "taylor"]


class Ccl(Options):
    """loss = alpha * CE + (1 - alpha) * concave(p_y).

    The formula, not the release: there the class for "taylor" scales cross-entropy by alpha^3 (alpha is multiplied
    within the loop over the terms), and the one for "exponential" cannot be constructed.

    Attributes:
        alpha: smaller hides more, 1 is plain training. The concave part moves a record little while p_y is near 0, so a
            small alpha learns slowly at first, as if the learning rate were alpha times as large.
        concave: "exponential", -exp(p_y), or "taylor", of its series -(p_y + p_y^2 / 2).
    """

    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5
    concave: Concave = "exponential"


class CclStep(RecordStep):
    """The convex-concave loss; of soft labels the concave part is the mean over classes."""

    def __init__(self, alpha: float, concave: Concave = "exponential", label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.alpha, self.concave = alpha, concave

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        p = torch.softmax(logits, -1)
        concave = -p.exp() if self.concave == "exponential" else -(p + p.square() / 2)
        labels = soft_labels(target, logits.shape[-1], self.label_smoothing)
        return self.alpha * self.plain(logits, target) + (1 - self.alpha) * (labels * concave).sum(-1)


def step(options: Ccl, fit: Fit) -> Step:
    """The training step with the concave term beside cross-entropy."""
    return CclStep(options.alpha, options.concave, fit.label_smoothing)


DEFENCE = TrainingDefence(
    name="ccl",
    options=Ccl,
    summary="Well-fitted records pull less: a concave term beside cross-entropy spreads the members' losses.",
    source="Liu et al. 2024, convex-concave loss, ICML",
    step=step,
    grid=tuple({"alpha": value} for value in (0.9, 0.7, 0.5, 0.3, 0.2)),
)
