"""Which records are the same, and which are near copies: keyed digests, which tell nothing of the record itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.fft import dctn

from memberwise.gateway.policy import Neighbourhood
from memberwise.types.arrays import Floats, Floats32

# Bytes of a digest: 128 bits, keyed, so that nobody finds two records of one digest.
SIZE = 16
# Random projections that a cell is made of.
PROJECTIONS = 8
# Frequencies kept of an image, along each side.
FREQUENCIES = 8


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
    """The cells that each record lies in, one a table: near copies share most of theirs, strangers none.

    A cell is that of locality-sensitive hashing by p-stable projections (Datar et al. 2004): each table projects a
    record on directions that nobody knows without the secret, and quantises with steps of ``config.step``. Distances
    are root mean squares over features, so that a step means the same for any number of them. Of an image it is the
    low frequencies (a discrete cosine transform) that are projected, without its brightness and contrast.

    Args:
        x: records ``(n, *shape)``, as the model takes them.
        secret: at most 64 bytes.

    Returns:
        ``config.tables`` digests of 16 bytes a record.
    """
    image = kind_of(x.shape[1:], config) == "image"
    features = frequencies(x) if image else np.asarray(x, np.float64).reshape(len(x), -1)
    width = features.shape[1]
    directions, shifts = _directions(secret, width, config.tables)
    # Per feature, so that one step of the input in every feature is one step here.
    places = np.floor(features @ directions / (np.sqrt(width) * config.step) + shifts) + 0.0
    groups = places.reshape(len(x), config.tables, PROJECTIONS)
    return [
        tuple(_keyed(secret, b"cells", bytes([table]) + group.tobytes()) for table, group in enumerate(row))
        for row in groups
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
        ``(n, at most 64)``, of root mean square 1 unless the image is of one colour.
    """
    images = np.asarray(x, np.float64)
    images = images.reshape(len(images), 1, -1) if images.ndim < 3 else images
    images = images.mean(1) if images.ndim > 3 else images
    low = dctn(images, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES].reshape(len(images), -1)
    low[:, 0] = 0
    scale = np.sqrt(np.square(low).mean(1, keepdims=True))
    result: Floats = low / np.where(scale > 0, scale, 1)
    return result


@lru_cache(maxsize=8)
def _directions(secret: bytes, width: int, tables: int) -> tuple[Floats, Floats]:
    """Directions ``(width, tables * PROJECTIONS)`` and shifts ``(tables * PROJECTIONS,)`` that the secret draws."""
    rng = np.random.default_rng(int.from_bytes(_keyed(secret, b"directions", b""), "big"))
    return rng.standard_normal((width, tables * PROJECTIONS)), rng.random(tables * PROJECTIONS)


def _keyed(secret: bytes, purpose: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, key=secret, person=purpose, digest_size=SIZE).digest()
