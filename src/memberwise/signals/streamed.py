"""Blocks joined one after another: what is larger than memory should hold lies in files that the system maps."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memberwise.types.arrays import Array, Arrays, DType

# Arrays of all models together that are larger lie in a file; smaller ones in memory.
MAPPED = 256 * 2**20
# Of mapped arrays so many bytes are gone through at a time.
PIECE = 64 * 2**20
# Blocks wait to be written until each record's run of models fills a page, or until they take so many bytes.
PAGE, WAITING = 4096, 512 * 2**20

Shape = tuple[DType, tuple[int, ...]]


def join_streamed(blocks: Iterator[Arrays], shapes: Mapping[str, Shape], folder: Path) -> Arrays:
    """The arrays of blocks as one, as ``codec.join`` has them, with a few blocks in memory at a time.

    Args:
        blocks: in the order of their models.
        shapes: of each whole array: type and shape, model first; further models of it are left out.
        folder: where large arrays lie, in files without a name that are gone with the arrays. There a record's answers
            by all models lie together, for attacks go through them record by record.
    """
    joined = {name: _Growing(_empty(dtype, shape, folder)) for name, (dtype, shape) in shapes.items()}
    for arrays in blocks:
        for name, growing in joined.items():
            if name in arrays:
                growing.append(arrays[name])
    return {name: growing.finished() for name, growing in joined.items()}


@dataclass
class _Growing:
    """An array that is filled model by model; ``waiting``: blocks that are still to be written behind ``filled``."""

    whole: Array
    filled: int = 0
    waiting: list[Array] = field(default_factory=list)

    def append(self, block: Array) -> None:
        left = len(self.whole) - self.filled - sum(map(len, self.waiting))
        self.waiting.append(block[: max(0, left)])
        nbytes, records = sum(part.nbytes for part in self.waiting), self.whole.shape[1] if self.whole.ndim > 1 else 1
        if not is_mapped(self.whole) or nbytes >= min(PAGE * records, WAITING):
            self._write()

    def finished(self) -> Array:
        self._write()
        return self.whole

    def _write(self) -> None:
        places = []
        for block in self.waiting:
            places.append(self.whole[self.filled : self.filled + len(block)])
            self.filled += len(block)
        for part in record_pieces(self.whole):
            for place, block in zip(places, self.waiting, strict=True):
                place[(slice(None), part)[: place.ndim]] = block[(slice(None), part)[: block.ndim]]
            release(self.whole)
        self.waiting.clear()


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
    # Laid out as NumPy lays out the other: sums over it round alike.
    taken = np.empty((len(rows), len(array), *array.shape[2:]), array.dtype).swapaxes(0, 1)
    step = max(1, PIECE // max(1, array[:, :1].nbytes))
    for first in range(0, len(rows), step):
        taken[:, first : first + step] = array[:, rows[first : first + step]]
        release(array)
    return taken


def of_block(array: Array, part: slice) -> Array:
    """``array[:, part]`` of ``(m, n, ...)``; of a mapped array laid out as one in memory: sums over it round alike."""
    return np.ascontiguousarray(array[:, part]) if is_mapped(array) else array[:, part]


def of_models(array: Array, keep: NDArray[np.intp]) -> Array:
    """``array[keep]``; of a mapped array too large for memory a copy in a file of the system's temporary folder.

    Args:
        array: ``(m, ...)``. keep: ``(k,)`` positions of models.
    """
    if not is_mapped(array):
        return array[keep]
    taken = _empty(array.dtype, (len(keep), *array.shape[1:]), Path(tempfile.gettempdir()))
    for part in record_pieces(array):
        taken[:, part] = array[keep, part]
        release(array, taken)
    return taken


def each_answer(change: Callable[[Array], Array], array: Array) -> Array:
    """``change`` of each value of ``(m, n, ...)``; of a mapped array into a file of the system's temporary folder."""
    if not is_mapped(array):
        return change(array)
    changed = _empty(array.dtype, array.shape, Path(tempfile.gettempdir()))
    for part in record_pieces(array):
        changed[:, part] = change(of_block(array, part))
        release(array, changed)
    return changed


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


def record_pieces(array: Array) -> Iterator[slice]:
    """Slices of the records of ``(m, n, ...)``, ``PIECE`` bytes each; of an array in memory, all at once."""
    if not is_mapped(array):
        yield slice(None)
        return
    step = max(1, PIECE // max(1, array[:, :1].nbytes))
    for first in range(0, array.shape[1], step):
        yield slice(first, first + step)


def _empty(dtype: DType, shape: tuple[int, ...], folder: Path) -> Array:
    if dtype.itemsize * int(np.prod(shape)) < MAPPED or len(shape) == 1:
        return np.empty(shape, dtype)
    models, records, *rest = shape
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # else a disk that fills up later would end the process, without a word
            os.posix_fallocate(file.fileno(), 0, max(1, dtype.itemsize * int(np.prod(shape))))
        return np.memmap(file, dtype, "w+", shape=(records, models, *rest)).view(np.ndarray).swapaxes(0, 1)
