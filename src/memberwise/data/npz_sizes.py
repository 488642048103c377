"""Whether the arrays of a .npz or .npy are as large as their headers claim, before memory is set aside for them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from memberwise.errors import DataError
from memberwise.types.arrays import DType


def check_sizes(path: Path) -> None:
    """Raises:
    DataError: a header claims more bytes than the file holds for its array.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            _check(file, path.stat().st_size, path, path.name)
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                _check(member, info.file_size, path, info.filename)


def _check(file: IO[bytes], size: int, path: Path, name: str) -> None:
    """A member that is no array, or of Python objects, is left to who reads it."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except ValueError:
        return
    claimed = _bytes(shape, dtype)
    held = size - file.tell()
    if not dtype.hasobject and (claimed is None or claimed > held):
        raise DataError(
            f"{name} claims to be larger than it is",
            expected="as many numbers as its header says",
            found=f"a header of shape {shape} and type {dtype}, {held:,} bytes of numbers",
            where=str(path),
            fix="the file is broken or cut off: save it again",
        )


def _bytes(shape: tuple[int, ...], dtype: DType) -> int | None:
    """What the array takes, or None where there is no such shape."""
    if any(not isinstance(length, int) or length < 0 for length in shape):
        return None
    return math.prod(shape) * dtype.itemsize
