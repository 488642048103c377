"""What collectors share: they ask a model more than one question about each record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memberwise.seeds import Seeds
from memberwise.signals.questions import Questions
from memberwise.targets.base import Records, Target
from memberwise.types.arrays import Array, Floats32, Ints, Mask

# Ranges and spreads of the features are read off this many audited records at most.
SAMPLE = 2_000


@dataclass(frozen=True)
class Features:
    """Range, spread and kind of the features, one number each of a record's shape (of images all are alike).

    Attributes:
        low, high: smallest and largest value. spread: standard deviation.
        binary: the feature takes two values only (never of images).
    """

    low: Floats32
    high: Floats32
    spread: Floats32
    binary: Mask

    @classmethod
    def of(cls, questions: Questions) -> Features:
        """Of the audited records ``(n, ...)`` (a sample of them, evenly spaced)."""
        rows = questions.audited[:: max(1, -(-len(questions.audited) // SAMPLE))]
        x = questions.records(rows)
        if is_image(questions):
            low, high, spread = (np.full(x.shape[1:], value, np.float32) for value in (x.min(), x.max(), x.std()))
            return cls(low, high, spread, np.zeros(x.shape[1:], bool))
        seen = ~np.isnan(x)  # a column may have gaps, or be nothing else
        low, high = x.min(0, where=seen, initial=np.inf), x.max(0, where=seen, initial=-np.inf)
        low, high = np.where(seen.any(0), low, 0), np.where(seen.any(0), high, 0)
        spread = np.where(seen.any(0), np.nan_to_num(x).std(0, where=seen | ~seen.any(0)), 0).astype(x.dtype)
        return cls(low, high, spread, ((x == low) | (x == high) | ~seen).all(0) & (low < high))


def is_image(questions: Questions) -> bool:
    """Records are images, not rows of a table."""
    return questions.x.ndim > 2


def labels_of(answers: Array, kind: str) -> Ints:
    """``(m, n)`` answered class numbers: all that a label-only attacker sees."""
    return np.asarray(answers if kind == "labels" else answers.argmax(-1), np.int64)


def ask_labels(models: Target, x: Records) -> Ints:
    """``(m, n)`` answered class numbers about records.

    The last output defences are not asked where they say of themselves that they keep the label exactly and are dear:
    what an attacker sees is the same.
    """
    cheapest = models.for_labels()
    return labels_of(cheapest.predict(x), cheapest.kind)


def random_numbers(questions: Questions, purpose: str, index: int = 0) -> np.random.Generator:
    """A collector's random numbers: the same for every model, whatever is stacked or chunked."""
    return Seeds(questions.rng_seed).rng(f"collector:{purpose}", index)
