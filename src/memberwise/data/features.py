"""Arrays of records become features: dense, channel-first, bytes where they are unmistakably images, else float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import pandas as pd

from memberwise.errors import DataError, Note
from memberwise.types.arrays import Array
from memberwise.types.foreign import Sparse

# Channels of an image: grey, RGB or RGBA.
CHANNELS = (1, 3, 4)
# Bytes are unmistakably an image from so many pixels a side on, where one side is at most so many times the other.
SMALLEST_SIDE, LONGEST_SIDE = 8, 4
# Whole numbers up to here are exact in float32; larger values than the second do not exist there.
EXACT, LARGEST = 2**24, float(np.finfo(np.float32).max)
# A sparse matrix may take so many bytes once it is dense.
MOST_DENSE_BYTES = 2**31


@dataclass(frozen=True)
class Features:
    """``x`` ``(n, ...)`` uint8 (0..255, scaled when trained on) or float32; what was done; what was noticed.

    whole: the type of whole numbers that a model may get as they are; None where they are no such.
    """

    x: Array
    steps: tuple[str, ...]
    notes: tuple[Note, ...]
    whole: str | None = None


def as_features(parts: Sequence[object], source: str) -> Features:
    """One array ``(n, ...)`` of the parts.

    Only unsigned bytes in the shape of images (``(n, H, W)``, or with 1, 3 or 4 channels first or last) are shades and
    kept as bytes, unless all are 0 or 1; any other whole numbers are the numbers that they are. Images are brought to
    channel-first.

    Raises:
        DataError: shapes that do not fit each other, no numbers, or numbers that float32 cannot hold.
    """
    steps = ("a sparse matrix was made dense",) if any(is_sparse(part) for part in parts) else ()
    arrays = [array_of(part, "x", source) for part in parts]
    shape = arrays[0].shape
    if any(part.ndim < 2 or part.shape[1:] != shape[1:] for part in arrays) or 0 in shape[1:]:
        shapes = " and ".join(str(part.shape) for part in arrays)
        raise DataError("features have the wrong shape", expected="(n, features) or images", found=shapes, where=source)
    if any(part.dtype.kind not in "biuf" for part in arrays):
        texts = arrays[0].dtype.kind in "OUST"
        fix = "a table with texts goes in as a DataFrame, .csv or .parquet" if texts else None
        raise DataError("features are not numbers", found=str(arrays[0].dtype), where=source, fix=fix)
    _check_range(arrays, source)
    whole = all(part.dtype.kind in "iu" for part in arrays)
    if _is_channels_last(shape[1:]) and (not whole or is_image(shape[1:])):
        arrays = [np.moveaxis(part, -1, 1) for part in arrays]
        steps = (*steps, "channels were moved before height and width")
    low, high = min(part.min(initial=0) for part in arrays), max(part.max(initial=0) for part in arrays)
    in_bytes = whole and low >= 0 and 1 < high <= 255
    shades = in_bytes and all(part.dtype == np.uint8 for part in arrays) and is_image(shape[1:])
    out = np.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=np.uint8 if shades else np.float32)
    x = np.concatenate(arrays, out=out, casting="unsafe")
    notes = _notes(arrays[0], shape[1:], int(high) if whole else 0, int(low) if whole else 0, shades)
    kept = whole and not shades and max(high, -low) <= EXACT
    return Features(x, steps, notes, np.result_type(*arrays).name if kept else None)


def is_image(shape: Sequence[int]) -> bool:
    """Whether one record's shape is unmistakably an image's: two sides, perhaps with channels first or last."""
    if len(shape) == 3:
        if shape[0] not in CHANNELS and shape[2] not in CHANNELS:
            return False
        shape = shape[1:] if shape[0] in CHANNELS else shape[:2]
    return len(shape) == 2 and min(shape) >= SMALLEST_SIDE and max(shape) <= LONGEST_SIDE * min(shape)


def _is_channels_last(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[2] in CHANNELS and shape[0] not in CHANNELS


def _notes(part: Array, shape: tuple[int, ...], high: int, low: int, shades: bool) -> tuple[Note, ...]:
    """What the user should know of whole numbers: taken for images, or kept though they may be some, or not exact."""
    form = f"{part.dtype} of shape {shape} a record"
    if shades:
        message = f"the records ({form}, up to {high}) were taken for images and scaled from 0..255 to [0, 1]"
        return (Note("scaled-images", f"{message}; give numbers that are no shades as int64, which stays as it is"),)
    if max(high, -low) > EXACT:
        message = f"the records hold whole numbers up to {max(high, -low):,}: models get float32, which is exact up to"
        return (Note("not-exact", f"{message} {EXACT:,} only, so that larger ones are rounded"),)
    if low >= 0 and 1 < high <= 255 and (part.dtype == np.uint8 or is_image(shape)):
        message = f"the records ({form}, {low} to {high}) are given to the models as the numbers they are"
        return (
            Note(
                "not-scaled",
                f"{message}: only unsigned bytes (uint8) in the shape of images are scaled to [0, 1]. If these are "
                "shades of images, give them as uint8 of shape (n, height, width), or divide them by 255",
            ),
        )
    return ()


def _check_range(arrays: Sequence[Array], source: str) -> None:
    """Raises:
    DataError: with the place of the first finite number beyond float32's range.
    """
    before = 0
    for part in arrays:
        if part.dtype.kind == "f" and part.dtype.itemsize > 4:
            beyond = np.isfinite(part) & ((part > LARGEST) | (part < -LARGEST))
            if beyond.any():
                flat = beyond.reshape(len(part), -1)
                row = int(flat.any(1).argmax())
                column = int(flat[row].argmax())
                raise too_large(
                    part.reshape(len(part), -1)[row, column], int(beyond.sum()), source, before + row, column
                )
        before += len(part)


def too_large(value: object, count: int, source: str, row: int, column: object) -> DataError:
    """The error for numbers that float32, in which models compute, cannot hold."""
    return DataError(
        "features are too large",
        expected=f"numbers within {LARGEST:.1e} of 0, which float32 can hold",
        found=f"{count} value{'s' if count > 1 else ''}, the first {value:g}",
        where=f"{source}, row {row}, column {column}",
        fix="is it a mark for a missing value? Else take logarithms, or leave the column out",
    )


def is_sparse(part: object) -> TypeGuard[Sparse]:
    """A sparse matrix or array of scipy."""
    if not type(part).__module__.startswith("scipy.sparse"):
        return False
    from scipy.sparse import issparse

    return bool(issparse(part))


def array_of(part: object, name: str, source: str) -> Array:
    """Whatever the user gives as an array; a sparse matrix made dense.

    Raises:
        DataError: it is no array, or too large once it is dense.

    Returns:
        ``(n, ...)``, as it was handed over.
    """
    if is_sparse(part):
        _check_dense(math.prod(map(int, part.shape)) * part.dtype.itemsize, tuple(part.shape), source)
        return np.asarray(part.toarray())
    try:
        if isinstance(part, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(part)):
            part = np.ma.filled(part.astype(np.float64), np.nan)  # what is masked is missing
        return np.asarray(part)
    except Exception as error:  # lists of unequal length, tensors on a GPU or with a gradient
        raise DataError(
            f"{name} is no array",
            expected="numbers of one shape a record",
            found=f"{type(part).__name__}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=source,
            fix="a tensor: x.detach().cpu().numpy()" if type(part).__module__.startswith("torch") else None,
        ) from error


def dense_columns(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """The frame with pandas' sparse columns made dense.

    Raises:
        DataError: they would be too large.
    """
    sparse = {name: dtype.subtype for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.SparseDtype)}
    if not sparse:
        return frame
    _check_dense(8 * len(frame) * len(sparse), (len(frame), len(sparse)), source)
    return frame.astype(sparse)


def _check_dense(needed: int, shape: tuple[int, ...], source: str) -> None:
    if needed > MOST_DENSE_BYTES:
        raise DataError(
            "the sparse records would be too large once they are dense, as models get them",
            expected=f"at most {MOST_DENSE_BYTES / 1e9:.1f} GB",
            found=f"{needed / 1e9:,.1f} GB: {' x '.join(f'{length:,}' for length in shape)}",
            where=source,
            fix="fewer columns (TruncatedSVD, SelectKBest) or fewer records",
        )
