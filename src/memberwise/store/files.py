"""Files that are there whole or not at all, and that nobody else reads where they hold single records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file by ``whole_file``, in a folder that is made where it is not there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, private=private) as file:
        file.write(content)
