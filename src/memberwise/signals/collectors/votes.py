"""Votes: how often the answered label stays right on altered copies of a record. Labels only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.collectors.base import Features, ask_labels, is_image, random_numbers
from memberwise.signals.questions import Access, Extra, Questions
from memberwise.signals.views import View, itself, mirror_of, rotated, shifted
from memberwise.types.arrays import Floats32, Ints, Mask, Records

CHUNK_VALUES = 8_000_000
SHIFTS = ((0, 1), (0, -1), (1, 0), (-1, 0))
DEGREES = (-8.0, -4.0, 4.0, 8.0)
# Of a table's binary columns, these shares are flipped, each by as many random patterns.
FLIPPED_SHARES = (0.01, 0.02, 0.05)
PATTERNS = 6
# Noise, in standard deviations of a feature; beside it the rate at which each binary column is flipped.
NOISE = (0.1, 0.2, 0.4, 0.8, 1.6)
FLIP_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Augmented:
    """Is the label right on 18 fixed copies? ``values`` is ``(m, n, 18)`` bool (of tables 19), the record first.

    Images: the record, shifted by one pixel in four directions, turned by 4 and 8 degrees both ways, and the mirror
    images of all nine (Choquette-Choo et al. 2021, section 4.2: best at one pixel and 4 degrees; the larger angles
    are ours). Tables: 1, 2 and 5 % of the binary columns flipped, six patterns each, the same for every record.
    Tables without binary columns cannot be asked so.
    """

    name: ClassVar[str] = "augmented"
    words: ClassVar[str] = "labels of augmented copies (images, or tables with binary columns)"
    most_models: ClassVar[int] = 16

    def asks(self, questions: Questions) -> int:
        """Questions to one model: the record itself is asked about anyway."""
        return (len(augmentations(questions)) - 1) * len(questions.audited)

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        views = augmentations(questions)
        if len(views) < 2:
            return None
        bits = np.stack(list(right_labels(access, questions, views)), axis=-1)
        return Extra(bits, np.full(bits.shape[:2], len(views), np.int32))


@dataclass(frozen=True)
class Noised:
    """How many of ``copies`` noised copies keep the right label, at five strengths? ``(m, n, 5)`` float32 shares.

    Gaussian noise of 0.1 to 1.6 standard deviations of a feature (images: of all pixels, clipped to their range);
    binary columns are flipped with probability 0.01 to 0.2 instead. The noise is the same for every record and model.
    """

    copies: int = 20

    name: ClassVar[str] = "noised"
    words: ClassVar[str] = "labels of noised copies"
    # They choose a strength of noise, at a hundred questions a record each.
    most_models: ClassVar[int] = 8

    def asks(self, questions: Questions) -> int:
        """Questions to one model."""
        return len(NOISE) * self.copies * len(questions.audited)

    def collect(self, access: Access, questions: Questions) -> Extra | None:
        views = noises(questions, self.copies)
        right = right_labels(access, questions, views)
        shares = np.zeros((access.count, len(questions.audited), len(NOISE)), np.float32)
        for number, bits in enumerate(right):
            shares[:, :, number // self.copies] += bits / np.float32(self.copies)
        return Extra(shares, np.full(shares.shape[:2], len(views), np.int32))


def right_labels(access: Access, questions: Questions, views: Sequence[View]) -> Iterator[Mask]:
    """For each view ``(count, n)``: the label answered about it is the record's true one."""
    for labels in answered_labels(access, questions, views):
        yield labels == questions.y[questions.audited]


def answered_labels(access: Access, questions: Questions, views: Sequence[View]) -> Iterator[Ints]:
    """For each view ``(count, n)``: the labels answered about it."""
    step = max(1, CHUNK_VALUES // (len(access.served) * questions.classes + int(np.prod(questions.x.shape[1:]))))
    for view in views:
        parts = []
        for first in range(0, len(questions.audited), step):
            rows = questions.audited[first : first + step]
            labels = ask_labels(access.served, np.ascontiguousarray(view(questions.records(rows))))
            parts.append(labels[: access.count])
        yield np.concatenate(parts, axis=1)


def augmentations(questions: Questions) -> list[View]:
    """The record itself and its augmented copies."""
    if is_image(questions):
        views: list[View] = [itself, *(partial(shifted, down=v, right=h) for v, h in SHIFTS)]
        views += [partial(rotated, degrees=angle) for angle in DEGREES]
        return views + [mirror_of(view) for view in views]
    features, rng = Features.of(questions), random_numbers(questions, "augmented")
    columns = np.flatnonzero(features.binary)
    if not columns.size:
        return [itself]
    sizes = [max(1, round(share * columns.size)) for share in FLIPPED_SHARES for _ in range(PATTERNS)]
    return [itself, *(partial(flipped, features=features, columns=rng.permutation(columns)[:k]) for k in sizes)]


def noises(questions: Questions, copies: int) -> list[View]:
    """``copies`` noised views for each of the strengths, weakest first."""
    features, rng = Features.of(questions), random_numbers(questions, "noised")
    normal = rng.standard_normal((copies, *questions.x.shape[1:]), np.float32)
    uniform = rng.random((copies, *questions.x.shape[1:]), np.float32)
    bounds = (features.low, features.high) if is_image(questions) else None
    views: list[View] = []
    for sigma, rate in zip(NOISE, FLIP_RATES, strict=True):
        for z, u in zip(normal, uniform, strict=True):
            shift = np.where(features.binary, 0, np.float32(sigma) * features.spread * z)
            flips = np.flatnonzero(features.binary & (u < rate)) if features.binary.any() else np.zeros(0, np.intp)
            views.append(partial(noised, shift=shift, flips=flips, features=features, bounds=bounds))
    return views


def flipped(x: Records, features: Features, columns: NDArray[np.intp]) -> Records:
    """``(n, features)`` records with the other value in these binary columns, ``(k,)``."""
    other = x.copy()
    other[:, columns] = features.low[columns] + features.high[columns] - x[:, columns]
    return other


def noised(
    x: Records,
    shift: Floats32,
    flips: NDArray[np.intp],
    features: Features,
    bounds: tuple[Floats32, Floats32] | None,
) -> Records:
    """``(n, ...)`` records moved by as many shifts: clipped to bounds of images, else with binary columns flipped."""
    moved = x + shift
    if bounds is not None:
        return np.asarray(np.clip(moved, *bounds), np.float32)
    return flipped(moved, features, flips) if flips.size else moved
