"""LDL: the label that most noisy copies of the record get (Rajabi et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from memberwise.defences.output.base import refuse_labels
from memberwise.defences.output.features import Features, RandomWithinFeatures
from memberwise.defences.output.image_noise import chunks
from memberwise.defences.output.keyed import Source
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Ints

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class Ldl(RandomWithinFeatures):
    """Labels alone, by vote over noisy copies of the record; against attacks by the distance to the boundary.

    Args:
        sigma: standard deviation of Gaussian noise, in units of the features; of a feature with two values the
            probability that it flips. Larger hides more.
        copies: the model is asked so often.
        released: the release takes the largest mean logit over the copies instead of a vote.
    """

    grid = ({"sigma": 0.01, "copies": 50}, {"sigma": 0.04, "copies": 50})
    alters_records = True

    sigma: Annotated[float, Field(ge=0)] = 0.02
    copies: Annotated[int, Field(ge=1)] = 200
    released: bool = False

    @property
    def keeps_label(self) -> bool:
        return self.sigma == 0

    @property
    def queries(self) -> int:
        return self.copies

    def gives(self, kind: Kind) -> Kind:
        if self.released:
            refuse_labels(self, kind)
        return "labels"

    def answer(self, target: Target, x: Records, states: Sequence[Any] | None, keys: Sequence[bytes]) -> Array:
        if states is None:
            raise ValueError("LDL needs what fit gave")
        sources = self.sources(target, x, [rng for _, rng in states], keys)
        pairs = zip(sources, states, strict=True)
        return np.stack([self._label(target.one(i), x, s, f) for i, (s, (f, _)) in enumerate(pairs)])

    def _label(self, target: Target, x: Records, source: Source, features: Features) -> Ints:
        """``(n,)`` labels of one model."""
        from scipy.stats import mode

        answers = (target.predict(self._copy(x, source, features, copy))[0] for copy in range(self.copies))
        if self.released:
            return np.asarray(sum(answers).argmax(-1), np.int64)
        votes = np.stack([a if target.kind == "labels" else a.argmax(-1) for a in answers])
        return np.asarray(mode(votes, axis=0).mode, np.int64)

    def _copy(self, x: Records, source: Source, features: Features, copy: int) -> Records:
        """The records with noise, the ``copy``-th time."""
        flat, out = x.reshape(len(x), -1), np.empty((len(x), x[0].size), np.float32)
        for rows in chunks(*flat.shape):
            numbers = source.uniform(flat.shape[1], copy * flat.shape[1], rows)
            flipped = np.where(numbers < self.sigma, features.low + features.high - flat[rows], flat[rows])
            out[rows] = np.where(features.binary, flipped, flat[rows] + self.sigma * ndtri(numbers))
        return out.reshape(x.shape)
