"""Files that are there whole or not at all, and that nobody else reads where they hold single records."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from memberwise.types.json import Json, JsonObject

PRIVATE, PUBLIC = 0o600, 0o666


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file to write into, which takes the place of ``path`` once it is whole and on the disk.

    A reader sees the old file or the whole new one, even after a crash; what fails leaves the old one.

    Args:
        private: only its owner may read it (mode 600, from its creation on); else the process's umask decides.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        # Made anew, so that no older file's mode stays.
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE if private else PUBLIC)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_mode(path: Path) -> str | None:
    """The mode of a file that others than its owner may read or change, in octal digits; None of a private one."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"{mode:o}" if os.name == "posix" and mode & 0o077 else None


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file by ``whole_file``, in a folder that is made where it is not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, private=private) as file:
        file.write(content)


def write_text(path: Path, content: str, *, private: bool = False) -> None:
    """Write UTF-8 text whole or not at all; what UTF-8 cannot hold (half a surrogate pair) is written as its escape."""
    write_atomically(path, content.encode("utf-8", "backslashreplace"), private=private)


def json_values(values: Mapping[str, object]) -> JsonObject:
    """Plain JSON values: NumPy's become Python's, tuples lists, and NaN and infinity null."""
    return {str(key): _json_value(value) for key, value in values.items()}


def _json_value(value: object) -> Json:
    if isinstance(value, Mapping):
        return json_values(value)
    if isinstance(value, (list, tuple)):
        return [_json_value(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _json_value(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def to_json(result: Mapping[str, object]) -> str:
    """``result.json`` as text, keys in the order of the schema."""
    return json.dumps(json_values(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
