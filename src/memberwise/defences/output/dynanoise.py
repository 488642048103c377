"""DynaNoise: more noise where the answer is surer (Forough and Haddadi 2025, arXiv:2505.13362)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field
from scipy.special import entr, ndtri, softmax

from memberwise.defences.output.base import as_logits, refuse_labels
from memberwise.defences.output.keyed import Random
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class DynaNoise(Random):
    """Gaussian noise of variance ``variance * (1 + slope * R)`` on logits, more where surer, then temperature ``t``.

    R = 1 - entropy / log C is 0 where all classes are alike and 1 where the answer is certain. A larger variance hides
    more. The defaults are the authors' (their artefact): variance 0.3, slope 2, temperature 10.
    """

    grid = ({"variance": 0.3}, {"variance": 3.0})

    variance: Annotated[float, Field(ge=0)] = 0.3
    slope: Annotated[float, Field(ge=0)] = 2.0
    t: Annotated[float, Field(gt=0)] = 10.0

    @property
    def keeps_label(self) -> bool:
        return self.variance == 0

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "logits"

    def answer(self, target: Target, x: Records, states: Sequence[object] | None, keys: Sequence[bytes]) -> Array:
        z = as_logits(target.predict(x), target.kind)
        sureness = 1 - entr(softmax(z, axis=-1)).sum(-1, keepdims=True) / np.log(z.shape[-1])
        spread = np.sqrt(self.variance * (1 + self.slope * np.clip(sureness, 0, 1)))
        noise = np.stack([ndtri(source.uniform(z.shape[-1])) for source in self.sources(target, x, states, keys)])
        return np.asarray((z + spread * noise) / self.t)
