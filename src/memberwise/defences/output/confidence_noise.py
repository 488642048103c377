"""Confidence noise: uniform noise on the answer (Kaplan's slides, "confidence perturbation")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from memberwise.defences.output.base import as_logits, as_probabilities, refuse_labels, renormalised, with_label
from memberwise.defences.output.keyed import Numbers, Random
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class AnswerNoise(Random):
    """Noise on the logits, or on the probabilities, which are then cut off at 0 and brought back to a sum of 1.

    Args:
        on: "logits" or "probabilities".
        keep_label: where another class would become the largest, it changes places with the label.
    """

    on: Literal["logits", "probabilities"] = "logits"
    keep_label: bool = False

    @property
    def keeps_label(self) -> bool:
        return self.keep_label

    @property
    def draws(self) -> int | None:
        """Random numbers an answer: None is one a class."""
        return None

    def noise(self, numbers: Numbers) -> Numbers:
        """Noise from numbers in (0, 1): ``(n, C)`` of ``(n, C)``, or ``(n, 1)`` where all scores share a draw."""
        raise NotImplementedError

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "logits" if self.on == "logits" else "probabilities"

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        values = (as_logits if self.on == "logits" else as_probabilities)(target.predict(x), target.kind)
        count = values.shape[-1] if self.draws is None else self.draws
        noisy = np.stack(
            [
                v + self.noise(s.uniform(count))
                for v, s in zip(values, self.sources(target, x, states, keys), strict=True)
            ]
        )
        if self.on == "probabilities":
            noisy = renormalised(noisy)
        return with_label(noisy, values.argmax(-1)) if self.keep_label else noisy


class ConfidenceNoise(AnswerNoise):
    """Uniform noise in [-r, r] on the scores; a larger ``r`` hides more.

    Args:
        r: in units of logits (or of probabilities).
        draw: one draw added to all scores ("shared"), or one a score ("each"); the slides fit both readings. A shared
            draw on logits leaves probabilities as they are: it stops nobody who does not read raw logits.
    """

    grid = (
        {"r": 15.0, "draw": "shared"},
        {"r": 1.0, "keep_label": True},
        {"r": 5.0, "keep_label": True},
        {"r": 15.0, "keep_label": True},
    )

    r: Annotated[float, Field(ge=0)] = 1.0
    draw: Literal["shared", "each"] = "each"

    @property
    def keeps_label(self) -> bool:
        return self.keep_label or self.r == 0

    @property
    def draws(self) -> int | None:
        return 1 if self.draw == "shared" else None

    def noise(self, numbers: Numbers) -> Numbers:
        return self.r * (2 * numbers - 1)
