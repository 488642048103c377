"""Gaussian noise on the answer (the Adversarial Robustness Toolbox's post-processor; also on logits)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from scipy.special import ndtri

from memberwise.defences.output.confidence_noise import AnswerNoise
from memberwise.defences.output.keyed import Numbers


class GaussianNoise(AnswerNoise):
    """Independent Gaussian noise of standard deviation ``scale`` on every score; a larger one hides more."""

    grid = ({"scale": 0.05}, {"scale": 0.2})

    scale: Annotated[float, Field(ge=0)] = 0.2
    on: Literal["logits", "probabilities"] = "probabilities"

    @property
    def keeps_label(self) -> bool:
        return self.keep_label or self.scale == 0

    def noise(self, numbers: Numbers) -> Numbers:
        return self.scale * ndtri(numbers)
