"""Blocks joined one after another: what is larger than memory should hold lies in files that the system maps."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memberwise.types.arrays import Array, Arrays, DType

# Arrays of all models together that are larger lie in a file; smaller ones in memory.
MAPPED = 256 * 2**20
# Of mapped arrays so many models are gone through at a time.
MODELS = 256

Shape = tuple[DType, tuple[int, ...]]


def join_streamed(blocks: Iterator[Arrays], shapes: Mapping[str, Shape], folder: Path) -> Arrays:
    """The arrays of blocks as one, as ``codec.join`` has them, with one block in memory at a time.

    Args:
        blocks: in the order of their models.
        shapes: of each whole array: type and shape, model first; further models of it are left out.
        folder: where large arrays lie, in files without a name that are gone with the arrays.
    """
    joined = {name: _empty(dtype, shape, folder) for name, (dtype, shape) in shapes.items()}
    filled = dict.fromkeys(joined, 0)
    for arrays in blocks:
        for name, whole in joined.items():
            if name in arrays:
                first = filled[name]
                part = arrays[name][: len(whole) - first]
                whole[first : first + len(part)] = part
                filled[name] += len(part)
        release(*joined.values())
    return joined


def joined_shape(parts: Sequence[Shape]) -> Shape:
    """Type and shape of arrays joined over models, from theirs."""
    dtypes, shapes = zip(*parts, strict=True)
    return np.result_type(*dtypes), (sum(shape[0] for shape in shapes), *shapes[0][1:])


def of_records(array: Array, rows: NDArray[np.intp]) -> Array:
    """``array[:, rows]``; of a mapped array without having all of it in memory at once.

    Args:
        array: ``(m, n, ...)``. rows: ``(k,)`` positions of records.
    """
    if not is_mapped(array):
        return array[:, rows]
    taken = np.empty((len(array), len(rows), *array.shape[2:]), array.dtype)
    for first in range(0, len(array), MODELS):
        taken[first : first + MODELS] = array[first : first + MODELS, rows]
        release(array)
    return taken


def of_models(array: Array, keep: NDArray[np.intp]) -> Array:
    """``array[keep]``; of a mapped array too large for memory a copy in a file of the system's temporary folder.

    Args:
        array: ``(m, ...)``. keep: ``(k,)`` positions of models.
    """
    if not is_mapped(array):
        return array[keep]
    taken = _empty(array.dtype, (len(keep), *array.shape[1:]), Path(tempfile.gettempdir()))
    for first in range(0, len(keep), MODELS):
        part = slice(first, first + MODELS)
        taken[part] = array[keep[part]]
        release(array, taken)
    return taken


def is_mapped(array: Array) -> bool:
    """An array ``(...,)`` lies in a file."""
    return _map_of(array) is not None


def _map_of(array: Array) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def release(*arrays: Array) -> None:
    """Let go of the memory that mapped arrays take; values stay in their files, and are read again when needed."""
    for array in arrays:
        base = _map_of(array)
        if base is not None and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)


def _empty(dtype: DType, shape: tuple[int, ...], folder: Path) -> Array:
    if dtype.itemsize * int(np.prod(shape)) < MAPPED:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape).view(np.ndarray)
