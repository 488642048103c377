"""Blocks of arrays in a run folder: a block is there whole or not at all, and is known by its key and its hash.

signals/block-00003.npz      the arrays of a few models
signals/manifest.json        per block: models, a key for each, arrays, dtypes, sha256, key, seconds (of these asking)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from memberwise.errors import RunFolderError
from memberwise.store.files import whole_file, write_atomically
from memberwise.types.arrays import Arrays
from memberwise.types.parts import Plain


def block_key(**parts: object) -> str:
    """The key of a block: a hash over everything its arrays depend on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class BlockStore:
    """The blocks of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "manifest.json"
        self.manifest: dict[str, Plain] = {}
        self.finished: str | None = None  # the key of the run whose result stands beside these blocks
        if self.file.exists():
            try:
                stored = json.loads(self.file.read_text())
                self.manifest, self.finished = dict(stored["blocks"]), stored.get("finished")
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
        if entry["key"] != key:
            return None, self.stale(name)
        return self._read(name)

    def load_first(self, name: str, count: int) -> tuple[Arrays | None, str | None]:
        """The same of a block's first models, whose keys are known to be right (``matching``)."""
        arrays, problem = self._read(name)
        return (None if arrays is None else {part: values[:count] for part, values in arrays.items()}), problem

    def matching(self, name: str, first: int, key_of: Callable[[int], str]) -> int:
        """How many models a block holds from model ``first`` on that were made under the keys of these models."""
        entry = self.manifest.get(name, {})
        count = 0
        for number, key in zip(entry.get("models", ()), entry.get("keys", ()), strict=False):
            if number != first + count or key != key_of(number):
                break
            count += 1
        return count

    def stale(self, name: str) -> str:
        """What is wrong with a block that has another key."""
        return f"{self.folder / name}.npz was made for other models, or another study, data, code or plan"

    def seconds(self, name: str, count: int, part: Literal["seconds", "asking"] = "seconds") -> float:
        """How long the first ``count`` models of a block took to make, or collectors of that; 0 if it is not known."""
        entry = self.manifest.get(name, {"models": ()})
        return float(entry.get(part, 0.0)) * count / max(1, len(entry["models"]))

    def processor(self, name: str) -> str:
        """The kind of processor that made a block; "" if it is not known."""
        return str(self.manifest.get(name, {}).get("processor", ""))

    def _read(self, name: str) -> tuple[Arrays | None, str | None]:
        path = self.folder / f"{name}.npz"
        if not path.exists():
            return None, f"{path} is missing"
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.manifest[name]["sha256"]:
            return None, f"{path} is corrupted (its hash differs from the manifest)"
        with np.load(path, allow_pickle=False) as file:
            return dict(file), None

    def save(
        self,
        name: str,
        keys: Sequence[str],
        models: Sequence[int],
        arrays: Arrays,
        seconds: float = 0.0,
        asking: float = 0.0,
        processor: str = "",
    ) -> None:
        """Write the block, then the manifest that makes it count; ``keys``: one for each model."""
        path = self.folder / f"{name}.npz"
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole_file(path, private=True) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        described = {k: {"dtype": str(v.dtype), "shape": list(v.shape)} for k, v in arrays.items()}
        entry = {"models": list(models), "keys": list(keys), "arrays": described, "sha256": digest}
        entry["key"] = keys[0] if len(keys) == 1 else block_key(models=list(keys))
        entry |= {"processor": processor} if processor else {}
        self.manifest[name] = entry | {"seconds": round(seconds, 3), "asking": round(asking, 3)}
        self.finished = None
        self._write()

    def mark_finished(self, key: str) -> None:
        """Say that the run of this key is finished, until another is begun or another block is written."""
        self.finished = key
        self._write()

    def mark_begun(self) -> None:
        """No run is finished any more: what stands beside the blocks will be another's."""
        if self.finished is not None:
            self.finished = None
            self._write()

    def _write(self) -> None:
        content: dict[str, object] = {"version": 1, "blocks": dict(sorted(self.manifest.items()))}
        if self.finished is not None:
            content["finished"] = self.finished
        write_atomically(self.file, json.dumps(content, indent=1).encode())


def block_name(number: int) -> str:
    """The name of a block's file, without its ending."""
    return f"block-{number:05d}"
