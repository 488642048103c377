"""Views: other ways of asking about the same record. Labels stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from memberwise.errors import StudyError
from memberwise.types.arrays import Array, Records

View = Callable[[Records], Records]


def query_views(queries: str) -> list[View]:
    """The queries about a record: itself first, then its augmentations (images only).

    "mirror": the record and its left-right mirror image. "shift18": both, each shifted by at most one pixel in both
    directions after reflect padding (Carlini et al. 2022, the release's 18 queries).

    Raises:
        StudyError: unknown name.
    """
    if queries == "none":
        return [itself]
    if queries == "mirror":
        return [itself, mirrored]
    if queries == "shift18":
        shifts = sorted(((v, h) for v in (-1, 0, 1) for h in (-1, 0, 1)), key=lambda s: abs(s[0]) + abs(s[1]))
        views: list[View] = [partial(shifted, down=v, right=h) for v, h in shifts]
        return views + [mirror_of(view) for view in views]
    raise StudyError(f"unknown queries {queries}", expected="none, mirror or shift18", where="queries")


def itself(x: Records) -> Records:
    """The records as they are, ``(n, ...)``."""
    return x


def mirrored(x: Records) -> Records:
    """The left-right mirror images of ``(..., H, W)`` images."""
    return x[..., ::-1]


def mirror_of(view: View) -> View:
    """The left-right mirror image of a view."""
    return lambda x: mirrored(view(x))


def shifted(x: Records, down: int, right: int) -> Records:
    """The window of an image that lies ``down`` and ``right`` by one pixel at most, after reflect padding.

    Args:
        x: ``(..., H, W)``, the result's shape too. down, right: -1, 0 or 1.
    """
    height, width = x.shape[-2:]
    around = [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)]
    padded: Array = np.pad(x, around, mode="reflect")
    return padded[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]


def rotated(x: Records, degrees: float) -> Records:
    """Images turned about their centre, interpolated linearly; edges are repeated outwards.

    Args:
        x: ``(..., H, W)``, the result's shape too.
    """
    from scipy import ndimage

    turned: Records = ndimage.rotate(x, degrees, axes=(-2, -1), reshape=False, order=1, mode="nearest")
    return turned
