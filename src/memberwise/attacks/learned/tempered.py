"""A model's answers at several temperatures, scaled, or distorted as another training might distort them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_expit

from memberwise.signals.read import log_vectors
from memberwise.signals.table import Answers
from memberwise.types.arrays import Floats, Ints, Mask

# Softmax temperatures at which answers are compared.
TEMPERATURES = (1, 2, 4)
# Logs below this are noise.
LOWEST = -30.0
# A distorted copy: logits up to twice as large or small, the true class's shifted, a share of memory taken off.
MOST_SCALE, SHIFT, LEAST_MEMORY, MOST_MEMORY = 2.0, 0.7, 0.2, 1.1

# By name, each ``(n,)``: at temperature T "phi T", the scaled logit, and "p T", log p_y; "height": that less the mean.
Readings = dict[str, Floats]


@dataclass(frozen=True)
class Answering:
    """What one model answers about ``n`` records.

    Attributes:
        logits: ``(n, C)`` of the first query; without full answers two columns, phi and 0.
        labels: ``(n,)`` the true class's column. phi: ``(n, q)`` of every query. correct: ``(n, q)``.
    """

    logits: Floats
    labels: Ints
    phi: Floats
    correct: Mask

    @classmethod
    def of(cls, answers: Answers, k: int, labels: Ints, full: bool) -> Answering:
        """The k-th model's, ``labels`` ``(n,)``; ``full``: from its full answers, else from the true class's alone."""
        one = answers.of_models(np.array([k]))
        phi = one.phi[0]
        if full:
            logits = np.maximum(log_vectors(one)[0], LOWEST)
        else:  # of two classes, of which one is the true one: the same at temperature 1, and nearly at others
            mean = phi.mean(-1)
            logits, labels = np.stack([mean, np.zeros_like(mean)], -1), np.zeros(len(mean), np.int64)
        return cls(logits, labels, phi, one.correct[0])

    def of_records(self, rows: Ints) -> Answering:
        """About the records at these ``(k,)`` positions."""
        return Answering(self.logits[rows], self.labels[rows], self.phi[rows], self.correct[rows])

    def scaled(self, scale: float) -> Answering:
        """Logits times ``scale``: the answers at temperature 1 / scale; other queries keep their distance."""
        return self._moved(self.logits * scale, scale)

    def distorted(self, scale: float, shift: float, forgotten: Floats | float) -> Answering:
        """Logits times ``scale``, the true class's raised by ``shift`` and lowered by ``forgotten`` ``(n,)``."""
        logits = self.logits * scale
        logits[np.arange(len(logits)), self.labels] += shift - forgotten
        return self._moved(logits, scale)

    def first_phi(self, scale: float = 1.0) -> Floats:
        """``(n,)`` the scaled logit phi of the first query, with logits times ``scale``."""
        rows, others = np.arange(len(self.logits)), self.logits * scale
        mine = others[rows, self.labels].copy()
        others[rows, self.labels] = -np.inf
        top = others.max(-1)
        return np.asarray(mine - top - np.log(np.exp(others - top[:, None]).sum(-1)))

    def readings(self) -> Readings:
        """The answers at each temperature."""
        rows, found = np.arange(len(self.logits)), Readings()
        mine, others = self.logits[rows, self.labels], self.logits.copy()
        others[rows, self.labels] = -np.inf
        top = others.max(-1)
        others -= top[:, None]
        for temperature in TEMPERATURES:
            rest = top / temperature + np.log(np.exp(others / temperature).sum(-1))
            phi = mine / temperature - rest
            found[f"phi {temperature}"], found[f"p {temperature}"] = phi, np.asarray(log_expit(phi))
        return found | {"height": mine - self.logits.mean(-1)}

    def answers(self) -> Answers:
        """The true class's part alone, as a table of signals holds it."""
        phi = self.phi[None].astype(np.float32)
        return Answers(log_expit(phi), log_expit(-phi), self.correct[None])

    def _moved(self, logits: Floats, scale: float) -> Answering:
        moved, distances = replace(self, logits=logits), scale * (self.phi - self.phi[:, :1])
        return replace(moved, phi=moved.first_phi()[:, None] + distances)


def distortion(rng: np.random.Generator, gap: Floats, member: Mask) -> tuple[float, float, Floats]:
    """How another training might have answered: scale, shift, and what members lose of their height.

    Args:
        gap: ``(n,)`` how much higher models that trained on the record are. member: ``(n,)`` the model did.
    """
    scale = float(np.exp(rng.uniform(-np.log(MOST_SCALE), np.log(MOST_SCALE))))
    memory = rng.uniform(LEAST_MEMORY, MOST_MEMORY)
    forgotten = (1 - memory) * scale * np.nan_to_num(np.maximum(gap, 0)) * member
    return scale, float(SHIFT * rng.normal()), np.asarray(forgotten)
