"""Folders and hints for servers that run beside the tests; they are started as reproductions start theirs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memberwise.reproduce.servers import answers, free_port, running

__all__ = ["HOW", "ROOT", "answers", "free_port", "running", "short_folder"]

ROOT = Path(__file__).parents[2]
HOW = "(`make services` tells what is missing and makes what can be made)"


@contextmanager
def short_folder(owner: str | None = None) -> Iterator[Path]:
    """A folder of short name that this user can reach: sockets have short names, and pytest's folders are ours only."""
    folder = Path(tempfile.mkdtemp(prefix="mw-", dir="/tmp" if os.name == "posix" else None))
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
