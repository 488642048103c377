"""Which records are the same, and which are near copies: keyed digests, which tell nothing of the record itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memberwise.gateway.policy import Neighbourhood
from memberwise.types.arrays import Floats, Floats32

# Bytes of a digest: 128 bits, keyed, so that nobody finds two records of one digest.
SIZE = 16
# Random projections that one cell is made of, of features and of an image's frequencies; and hashes of feature sets.
PROJECTIONS, IMAGE_PROJECTIONS, MINIMA = 10, 16, 10
# Cells of single features are so many steps wide: of features that are 0 or 1, a step of 0.25 tells the two apart.
STEPS = 4
# Of so many features all are quantised together; of more, those that are not about 0 are hashed as a set.
FEW = 128
# Frequencies kept of an image, along each side, and their root mean square: about that of pixels in [0, 1].
FREQUENCIES, CONTRAST = 8, 1 / 3
NOTHING = np.uint64(2**64 - 1)
# Of an image's root mean square: with less contrast than this it is of one colour.
FLAT = 0.01


def digest(x: Floats32, secret: bytes) -> list[bytes]:
    """A keyed BLAKE2b digest of each record, over its float32 bytes and its shape.

    Args:
        x: records ``(n, *shape)``; 0.0 and -0.0 are one value.
        secret: at most 64 bytes.

    Returns:
        One digest of 16 bytes a record.
    """
    rows = np.ascontiguousarray(x, np.float32) + np.float32(0)
    head = repr(rows.shape[1:]).encode()
    return [_keyed(secret, b"digest", head + row.tobytes()) for row in rows]


def cells(x: Floats32, secret: bytes, config: Neighbourhood) -> list[tuple[bytes, ...]]:
    """The cells that each record lies in, one a table: near copies share some of theirs, strangers hardly any.

    Locality-sensitive hashing, with what nobody knows who has not the secret. Every second table projects a record on
    random directions and quantises by shifted grids of width ``config.step`` (p-stable distributions, Datar et al.
    2004), in root mean squares over features, so that a step means the same for any number of them: noise in all
    features stays in the cell. The tables between quantise single features, four steps wide: all of them where they
    are few; of many the set of those that are not about 0, by its smallest hashes (MinHash, Broder 1997): changes of
    few features stay in the cell, as flipped bits do, and rows of one-hot columns are told apart. Of images all tables
    project the low frequencies (a discrete cosine transform), without brightness and contrast.

    Args:
        x: records ``(n, *shape)``, as the model takes them.
        secret: at most 64 bytes.

    Returns:
        ``config.tables`` digests of 16 bytes a record.
    """
    if not len(x):
        return []
    image = kind_of(x.shape[1:], config) == "image"
    features = frequencies(x) if image else np.asarray(x, np.float64).reshape(len(x), -1)
    parts = [
        _table(secret, features.shape[1], table, image).places(features, config.step) for table in range(config.tables)
    ]
    return [
        tuple(_keyed(secret, b"cells", bytes([table]) + part[i].tobytes()) for table, part in enumerate(parts))
        for i in range(len(x))
    ]


def kind_of(shape: Sequence[int], config: Neighbourhood) -> Literal["cells", "image"]:
    """How records of this shape are compared: as images where both of the last two sides are of 8 and more."""
    if config.kind != "auto":
        return config.kind
    return "image" if len(shape) in (2, 3) and min(shape[-2:]) >= FREQUENCIES else "cells"


def frequencies(x: Floats32) -> Floats:
    """The low frequencies of images, without brightness and contrast.

    Args:
        x: ``(n, height, width)`` or ``(n, channels, height, width)``; anything else is taken as one row of pixels.

    Returns:
        ``(n, at most 64)``, of root mean square ``CONTRAST`` unless the image is of one colour.
    """
    images = np.asarray(x, np.float64)
    images = images.reshape(len(images), 1, -1) if images.ndim < 3 else images
    images = images.mean(1) if images.ndim > 3 else images
    from scipy.fft import dctn  # takes an eighth of a gateway's start, which few ask about images

    low = dctn(images, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES].reshape(len(images), -1)
    whole = np.sqrt(np.square(low).mean(1, keepdims=True))
    low[:, 0] = 0
    # What is of one colour but for rounding is not blown up into a pattern.
    scale = np.maximum(np.sqrt(np.square(low).mean(1, keepdims=True)), FLAT * whole)
    result: Floats = low * (CONTRAST / np.where(scale > 0, scale, 1))
    return result


@dataclass(frozen=True)
class _Projections:
    directions: Floats
    shifts: Floats

    def places(self, features: Floats, step: float) -> Floats:
        return np.floor(features @ self.directions / step + self.shifts) + 0.0


@dataclass(frozen=True)
class _Features:
    shifts: Floats

    def places(self, features: Floats, step: float) -> Floats:
        return np.floor(features / (STEPS * step) + self.shifts) + 0.0


@dataclass(frozen=True)
class _Sets:
    """Of the features that do not lie in the cell of 0: the smallest hash of each of some hash functions."""

    shifts: Floats
    salts: NDArray[np.uint64]

    def places(self, features: Floats, step: float) -> NDArray[np.uint64]:
        quantised = np.floor(features / (STEPS * step) + self.shifts) + 0.0
        absent = quantised == np.floor(self.shifts)
        items = quantised.view(np.uint64)
        return np.stack([np.where(absent, NOTHING, _mixed(items ^ salt)).min(1) for salt in self.salts], axis=1)


@lru_cache(maxsize=64)
def _table(secret: bytes, width: int, table: int, image: bool) -> _Projections | _Features | _Sets:
    rng = np.random.default_rng(int.from_bytes(_keyed(secret, b"grid", bytes([table])), "big"))
    if image or table % 2 == 0:
        count = IMAGE_PROJECTIONS if image else PROJECTIONS
        return _Projections(rng.standard_normal((width, count)) / np.sqrt(width), rng.random(count))
    if width <= FEW:
        return _Features(rng.random(width))
    return _Sets(rng.random(width), rng.integers(0, 2**64, (MINIMA, width), np.uint64))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the input in every bit of the output (the finish of SplitMix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def _keyed(secret: bytes, purpose: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, key=secret, person=purpose, digest_size=SIZE).digest()
