"""DynaNoise: more noise where the model is less sure (arXiv:2505.13362)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import entr, ndtri, softmax

from memberwise.defences.output.base import as_logits, refuse_labels
from memberwise.defences.output.keyed import Random
from memberwise.training.kind import Kind

if TYPE_CHECKING:
    from memberwise.training.answering import Ask, Records


class DynaNoise(Random):
    """Gaussian noise of variance ``variance * (1 + slope * entropy / log C)`` on the logits, then temperature ``t``.

    A larger variance hides more. The paper's defaults were not at hand: these are ours.
    """

    grid = ({"variance": 0.3}, {"variance": 3.0})

    variance: Annotated[float, Field(ge=0)] = 0.3
    slope: Annotated[float, Field(ge=0)] = 2.0
    t: Annotated[float, Field(gt=0)] = 1.0

    @property
    def keeps_label(self) -> bool:
        return self.variance == 0

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return "logits"

    def answer(self, ask: Ask, x: Records, states: Sequence[Any] | None, keys: Sequence[bytes]) -> NDArray[Any]:
        z = as_logits(ask(x), ask.kind)
        entropy = entr(softmax(z, axis=-1)).sum(-1, keepdims=True) / np.log(z.shape[-1])
        spread = np.sqrt(self.variance * (1 + self.slope * entropy))
        noise = np.stack([ndtri(source.uniform(z.shape[-1])) for source in self.sources(ask, x, states, keys)])
        return np.asarray((z + spread * noise) / self.t)
