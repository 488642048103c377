"""HAMP's answers: a random input's scores in the order of the query's (Chen & Pattabiraman 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memberwise.defences.output.base import refuse_labels
from memberwise.defences.output.features import Features, RandomWithinFeatures
from memberwise.defences.output.image_noise import chunks
from memberwise.defences.output.keyed import Source
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Floats

if TYPE_CHECKING:
    from memberwise.targets.base import Records, Target


class Hamp(RandomWithinFeatures):
    """Scores that tell the order of the classes and nothing else; the part of HAMP at test time.

    The model is asked about a random input too (uniform among 256 values of each feature's range, coins where a
    feature has two values), and its scores, sorted, replace the query's rank by rank. Labels and order stay: label-only
    attacks lose nothing. The release draws a fresh input at every question (``keyed = false``).
    """

    alters_records = True  # random inputs are fractions, which are no token ids

    @property
    def queries(self) -> int:
        return 2

    def gives(self, kind: Kind) -> Kind:
        refuse_labels(self, kind)
        return kind

    def answer(self, target: Target, x: Records, states: Sequence[Any] | None, keys: Sequence[bytes]) -> Array:
        """The scores of random inputs, in the order of the model's own: ``(m, n, C)`` for ``(n, ...)`` records."""
        if states is None:
            raise ValueError("HAMP needs what fit gave")
        answers = target.predict(x)
        sources = self.sources(target, x, [rng for _, rng in states], keys)
        out = np.empty(answers.shape)
        for i, (source, (features, _)) in enumerate(zip(sources, states, strict=True)):
            scores = target.one(i).predict(random_inputs(features, source, x.shape))[0]
            out[i] = in_order_of(answers[i], scores)
        return out


def random_inputs(features: Features, source: Source, shape: tuple[int, ...]) -> Records:
    """``(n, ...)`` records without meaning, within the features' ranges."""
    out = np.empty((shape[0], features.low.size), np.float32)
    for rows in chunks(*out.shape):
        numbers = source.uniform(out.shape[1], 0, rows)
        share = np.where(features.binary, numbers < 0.5, np.floor(numbers * 256) / 255)
        out[rows] = features.low + share.astype(np.float32) * (features.high - features.low)
    return out.reshape(shape)


def in_order_of(answers: Array, scores: Array) -> Floats:
    """``(n, C)`` scores put in the order of the answers' classes; of tied classes the first ranks higher.

    The largest score is raised by a millionth where it is not alone.
    """
    order = np.argsort(-np.asarray(answers, np.float64), axis=-1, kind="stable")
    values = np.sort(np.asarray(scores, np.float64), axis=-1)[:, ::-1].copy()
    gap = 1e-6 * np.maximum(np.abs(values[:, 1]), 1e-6)
    values[:, 0] = np.maximum(values[:, 0], values[:, 1] + gap)
    out = np.empty_like(values)
    np.put_along_axis(out, order, values, -1)
    return out
