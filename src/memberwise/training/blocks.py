"""Blocks of arrays in a run folder: a block is there whole or not at all, and is known by its key and its hash.

signals/block-00003.npz      the arrays of a few models
signals/manifest.json        per block: models, arrays, dtypes, sha256, key, seconds it took
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memberwise.errors import RunFolderError

Arrays = dict[str, NDArray[Any]]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if the machine stops."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def block_key(**parts: Any) -> str:
    """The key of a block: a hash over everything its arrays depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class BlockStore:
    """The blocks of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "manifest.json"
        self.manifest: dict[str, dict[str, Any]] = {}
        if self.file.exists():
            try:
                self.manifest = dict(json.loads(self.file.read_text())["blocks"])
                _ = [(*entry["models"], entry["key"], entry["sha256"]) for entry in self.manifest.values()]
            except (ValueError, KeyError, TypeError):
                raise RunFolderError(
                    f"{self.file} cannot be read", fix="delete it: the blocks are then trained again"
                ) from None

    def load(self, name: str, key: str) -> tuple[Arrays | None, str | None]:
        """The block's arrays if it is there under this key and unharmed, else None; and what is wrong with it."""
        entry = self.manifest.get(name)
        if entry is None:
            return None, None
        path = self.folder / f"{name}.npz"
        if entry["key"] != key:
            return None, f"{path} was made for other models, or another study, data, code or plan"
        if not path.exists():
            return None, f"{path} is missing"
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            return None, f"{path} is corrupted (its hash differs from the manifest)"
        with np.load(path, allow_pickle=False) as file:
            return dict(file), None

    def models(self, name: str) -> list[int] | None:
        """The numbers of the models in a block, or None where there is no such block."""
        entry = self.manifest.get(name)
        return None if entry is None else list(entry["models"])

    def seconds(self, name: str) -> float:
        """How long a block took to make; 0 where that is not known."""
        return float(self.manifest.get(name, {}).get("seconds", 0.0))

    def save(self, name: str, key: str, models: Sequence[int], arrays: Arrays, seconds: float = 0.0) -> None:
        """Write the block, then the manifest that makes it count."""
        path = self.folder / f"{name}.npz"
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}")
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        part.replace(path)
        described = {k: {"dtype": str(v.dtype), "shape": list(v.shape)} for k, v in arrays.items()}
        entry = {"models": list(models), "arrays": described, "sha256": digest, "key": key}
        self.manifest[name] = entry | {"seconds": round(seconds, 3)}
        content = json.dumps({"version": 1, "blocks": dict(sorted(self.manifest.items()))}, indent=1)
        write_atomically(self.file, content.encode())


def block_name(number: int) -> str:
    return f"block-{number:05d}"
