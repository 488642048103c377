"""Image noise: the model is asked about a perturbed image (Kaplan's slides, "image perturbation")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from memberwise.defences.output.base import refuse_labels
from memberwise.defences.output.keyed import Random, Source
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class ImageNoise(Random):
    """Noise on the record before the model sees it; a larger ``r`` hides more and costs accuracy.

    Pixels stay within [0, 1]; features of tables are not cut off.

    Args:
        r: half the width of uniform noise, or the standard deviation of Gaussian noise, in units of the features.
        draw: one draw for the whole image ("shared") or one a pixel ("pixel"); the slides fit both readings.
        average: answers to so many draws are averaged.
    """

    grid = ({"r": 0.1}, {"r": 0.25}, {"r": 0.5})
    alters_records = True

    r: Annotated[float, Field(ge=0)] = 0.5
    draw: Literal["shared", "pixel"] = "shared"
    noise: Literal["uniform", "gaussian"] = "uniform"
    average: Annotated[int, Field(ge=1)] = 1

    @property
    def keeps_label(self) -> bool:
        return self.r == 0

    @property
    def queries(self) -> int:
        return self.average

    def gives(self, kind: Kind) -> Kind:
        if self.average > 1:
            refuse_labels(self, kind)
        return kind

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        sources = self.sources(target, x, states, keys)
        return np.concatenate([self._asked(target.one(i), x, source) for i, source in enumerate(sources)])

    def _asked(self, target: Target, x: Records, source: Source) -> Array:
        """One model's ``(1, n, C)`` answers, averaged over the draws."""
        total = target.predict(self._noisy(x, source, 0))
        for draw in range(1, self.average):
            total = total + target.predict(self._noisy(x, source, draw))
        return total if self.average == 1 else total / self.average

    def _noisy(self, x: Records, source: Source, draw: int) -> Records:
        count = 1 if self.draw == "shared" else x[0].size
        shape = (1,) * (x.ndim - 1) if self.draw == "shared" else x.shape[1:]
        noisy = np.empty_like(x)
        for rows in chunks(len(x), count):
            numbers = source.uniform(count, draw * count, rows)
            noise = ndtri(numbers) if self.noise == "gaussian" else 2 * numbers - 1
            noisy[rows] = x[rows] + (self.r * noise).astype(np.float32).reshape(-1, *shape)
        return np.clip(noisy, 0, 1, out=noisy) if x.ndim > 2 else noisy


def chunks(records: int, numbers: int) -> list[slice]:
    """Slices of records with so many random numbers each, so that those in memory at once stay in the cache."""
    step = max(1, 64_000 // max(1, numbers))
    return [slice(first, first + step) for first in range(0, records, step)]
