"""Readers of the public image sets' formats: MNIST's IDX files and the binary version of CIFAR."""

from __future__ import annotations

import gzip
import math
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memberwise.data.files import broken_format
from memberwise.types.arrays import Arrays

PIXELS = 3 * 32 * 32


def read_mnist(paths: Sequence[Path]) -> Arrays:
    """Train images, train labels, test images, test labels, each an IDX file (gzipped or not)."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return {name: read_idx(path) for name, path in zip(names, paths, strict=True)}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An IDX file of bytes: two zeros, 8 for unsigned bytes, the number of axes, their lengths (big-endian), bytes.

    Returns:
        ``(n,)`` labels or ``(n, H, W)`` images, as the file has it.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise broken_format(path, "an IDX file", error) from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise broken_format(path, "an IDX file of unsigned bytes", "another beginning")
    shape = tuple(int(length) for length in np.frombuffer(content, ">i4", count=content[3], offset=4))
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if len(values) != math.prod(shape):
        raise broken_format(path, f"{math.prod(shape)} bytes for shape {shape}", f"{len(values)}")
    return values.reshape(shape)


def read_cifar10(paths: Sequence[Path]) -> Arrays:
    """``cifar-10-binary.tar.gz``: a byte of label and 3,072 of pixels (red, green, blue planes) a record."""
    return _read_cifar(paths[0], [f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin", "batches.meta.txt", 1)


def read_cifar100(paths: Sequence[Path]) -> Arrays:
    """``cifar-100-binary.tar.gz``: as CIFAR-10, with two bytes of label, the coarse one and the fine one (kept)."""
    return _read_cifar(paths[0], ["train.bin"], "test.bin", "fine_label_names.txt", 2)


def _read_cifar(path: Path, train: Sequence[str], test: str, names: str, label_bytes: int) -> Arrays:
    entries: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name, file = Path(member.name).name, archive.extractfile(member) if member.isfile() else None
                if file is not None and name in (*train, test, names):
                    entries[name] = file.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise broken_format(path, "a .tar.gz archive", error) from error
    missing = [name for name in (*train, test, names) if name not in entries]
    if missing:
        raise broken_format(
            path, "CIFAR's binary version (the Python version holds pickles)", f"no {', '.join(missing)}"
        )
    arrays: Arrays = {"classes": np.array(entries[names].decode().split(), dtype=str)}
    for part, files in (("train", train), ("test", (test,))):
        content = b"".join(entries[name] for name in files)
        if len(content) % (label_bytes + PIXELS):
            raise broken_format(path, f"records of {label_bytes + PIXELS} bytes", f"{len(content)} bytes")
        records = np.frombuffer(content, np.uint8).reshape(-1, label_bytes + PIXELS)
        arrays[f"x_{part}"] = records[:, label_bytes:].reshape(-1, 3, 32, 32)
        arrays[f"y_{part}"] = records[:, label_bytes - 1]
    return arrays
