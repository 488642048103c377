"""Copies that hardly differ: what a service that answers each new record by chance says about one again and again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from memberwise.signals.collectors.base import Features, is_image, random_numbers
from memberwise.signals.collectors.votes import answered_labels, flipped
from memberwise.signals.questions import Access, Extra, Questions
from memberwise.signals.views import View, itself
from memberwise.types.arrays import Floats32, Records

# One step of a pixel, in shares of the range; of a column, in standard deviations.
PIXEL, COLUMN = 1 / 255, 1e-3


@dataclass(frozen=True)
class NearCopies:
    """What labels are answered about a record and ``copies`` others, each with one feature a step apart?

    ``values`` is ``(m, n, 3)`` float32: the label is right, the share of right labels, the share of the commonest
    label. A pixel moves by one of 255 steps, a column by a thousandth of its standard deviation (copy by copy another
    one; where there are fewer, by two steps, and so on); where all columns are binary one is flipped. Models answer
    such copies alike; a service that stores its answers by record, and draws them, draws anew.
    """

    copies: int = 20

    name: ClassVar[str] = "near"
    words: ClassVar[str] = "labels of copies that hardly differ"
    most_models: ClassVar[int] = 8

    def asks(self, questions: Questions) -> int:
        """Questions to one model: the record itself is asked about anyway."""
        return self.copies * len(questions.audited)

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        views = near_copies(questions, self.copies)
        if len(views) < 2:
            return None
        labels = np.stack(list(answered_labels(access, questions, views)), axis=-1).astype(np.int32)
        right = labels == questions.y[questions.audited][:, None]
        commonest = np.stack([(labels == labels[..., k : k + 1]).sum(-1) for k in range(len(views))]).max(0)
        values = np.stack([right[..., 0], right.mean(-1), commonest / len(views)], axis=-1).astype(np.float32)
        return Extra(values, np.full(values.shape[:2], len(views), np.int32))


def near_copies(questions: Questions, copies: int) -> list[View]:
    """The record itself, and ``copies`` views of it; none where no feature varies."""
    features, rng = Features.of(questions), random_numbers(questions, "near")
    image, varies = is_image(questions), (features.low < features.high).ravel()
    columns = np.flatnonzero(varies & ~features.binary.ravel())
    if not columns.size:
        binary = rng.permutation(np.flatnonzero(varies))[:copies]
        return [itself, *(partial(flipped, features=features, columns=binary[k : k + 1]) for k in range(len(binary)))]
    unit = (features.high - features.low) * PIXEL if image else features.spread * COLUMN
    order = rng.permutation(columns)
    return [
        itself,
        *(
            partial(moved, column=int(order[k % len(order)]), steps=1 + k // len(order), unit=unit, features=features)
            for k in range(copies)
        ),
    ]


def moved(x: Records, column: int, steps: int, unit: Floats32, features: Features) -> Records:
    """``(n, ...)`` records with one feature so many steps nearer to the middle of its range."""
    flat = x.reshape(len(x), -1).copy()
    middle = (features.low.ravel()[column] + features.high.ravel()[column]) / 2
    step = np.where(flat[:, column] > middle, -1, 1) * steps * unit.ravel()[column]
    flat[:, column] += step.astype(flat.dtype)
    return flat.reshape(x.shape)
