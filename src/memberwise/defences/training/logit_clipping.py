"""Logit clipping inside training: Kaplan's confidence regularisation, in the model itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from memberwise.defences.training.base import Fit, Options, TrainingDefence
from memberwise.defences.training.losses import RecordStep
from memberwise.training.step import Step


class LogitClipping(Options):
    """Logits are cut to [-r, r] before the loss, and before the model answers; a smaller ``r`` hides more.

    The largest probability is then at most e^r / (e^r + (C - 1) e^-r). A cut logit has no gradient, so training on a
    record ends once its own logit reaches r and the others -r.

    Attributes:
        answer: the released model's answers are cut too (the output defence "logit-clipping", which keeps the label).
    """

    r: Annotated[float, Field(gt=0)] = 2.0
    answer: bool = True


class LogitClippingStep(RecordStep):
    """Cross-entropy of the clipped logits."""

    def __init__(self, r: float, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.r = r

    def losses(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.plain(logits.clamp(-self.r, self.r), target)


def step(options: LogitClipping, fit: Fit) -> Step:
    """The training step on clipped logits."""
    return LogitClippingStep(options.r, fit.label_smoothing)


def answer(options: LogitClipping) -> list[dict[str, object]]:
    """The output defence that belongs to it, unless it is switched off."""
    return [{"name": "logit-clipping", "r": options.r, "mode": "clip"}] if options.answer else []


DEFENCE = TrainingDefence(
    name="logit-clipping-in-training",
    options=LogitClipping,
    summary="Logits are cut to [-r, r] while the model trains and when it answers.",
    source="Kaplan's slides on defences, confidence regularisation",
    step=step,
    answer=answer,
    guarantee="largest probability at most e^r / (e^r + (C - 1) e^-r)",
    grid=tuple({"r": value} for value in (5.0, 3.0, 2.0, 1.0, 0.5)),
)
