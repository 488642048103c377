"""The run folder: one study's, one process at a time, and what it remembers between runs."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock, Timeout

from memberwise.errors import RunFolderError
from memberwise.models.network import Tensors
from memberwise.store.blocks import BlockStore
from memberwise.store.files import write_atomically
from memberwise.study.reading import make_study, read_study
from memberwise.study.schema import PlanConfig, Study
from memberwise.types.arrays import Arrays

TARGET_FORMAT = 1
# The folder of scores of models in turn.
TURNS = "turns"
# The files of target/, beside metadata.json.
WEIGHTS, PREPROCESSING, LEARNED = "model.safetensors", "preprocessing.json", "defences.npz"
# In the header of an ensemble's weights: how many worlds' tensors each entry holds, along its first dimension.
WORLDS = "memberwise.worlds"


def default_folder(study: Study) -> Path:
    """``runs/NAME-KEY``: a folder of its own for every study."""
    return Path("runs") / f"{short_name(study.outputs.file or study.data.source)}-{study.training_key()[:8]}"


def short_name(source: str) -> str:
    """What a source is called in a folder's name: without its path, ending and options."""
    bare = source.partition("?")[0]
    return Path(bare).stem if ":" not in bare else bare.rpartition(":")[2]


class RunFolder:
    """A run folder. Used with ``with``, it is locked; nothing is created before.

    Raises (on creation):
        RunFolderError: the folder holds another study's run, or ``resume`` finds nothing to resume.
    """

    def __init__(self, path: Path, study: Study, resume: bool = False) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise RunFolderError(f"{path} is a file", expected="a folder to write the run into", where="--out")
        self.stored = self._read()
        if resume and self.stored is None:
            raise RunFolderError(f"{path} holds no run to resume", expected="a study.toml", fix="leave --resume out")
        if self.stored is not None and self.stored.training_key() != study.training_key():
            raise RunFolderError(
                f"{path} holds another study's run",
                expected="the same data, model, training, queries and seed",
                found="differences in " + ", ".join(_differences(self.stored, study)),
                fix="another --out, or delete the folder",
            )
        self.lock = FileLock(path / ".lock")

    @property
    def plan(self) -> PlanConfig | None:
        """The plan under which the run was begun."""
        return None if self.stored is None else self.stored.plan

    @property
    def blocks(self) -> BlockStore:
        return BlockStore(self.path / "signals")

    def __enter__(self) -> RunFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / ".lock").touch()
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be written to", found=str(error.strerror), where="--out", fix="another --out"
            ) from None
        holder = self.path / ".lock.pid"
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            try:
                owner = f"process {holder.read_text()}"
            except OSError:
                owner = "a process that is just beginning or ending"
            raise RunFolderError(
                f"another process is writing to {self.path}",
                found=owner,
                fix="wait for it, or another --out",
            ) from None
        holder.write_text(str(os.getpid()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.path / ".lock.pid").unlink(missing_ok=True)
        if os.name == "posix":
            # Before it is released: whoever takes the lock of a file that is gone is told so, and takes a new one.
            (self.path / ".lock").unlink(missing_ok=True)
        self.lock.release()

    def write_study(self, study: Study) -> None:
        write_atomically(self.path / "study.toml", study.to_toml().encode())

    def write_target(
        self,
        weights: Tensors,
        metadata: dict[str, object],
        preprocessing: dict[str, object],
        learned: Arrays,
        worlds: int | None = None,
    ) -> None:
        """The target's folder: weights as safetensors; what they are, and all files' hashes, in metadata.json.

        Args:
            preprocessing: what is done to raw records before the target sees them.
            learned: what its output defences learned of it.
            worlds: of an ensemble: the first dimension of every tensor.
        """
        from safetensors.torch import save

        header = None if worlds is None else {WORLDS: str(worlds)}
        metadata = metadata if worlds is None else {**metadata, "worlds": worlds}
        files = {
            WEIGHTS: save({name: value.contiguous().cpu() for name, value in weights.items()}, header),
            PREPROCESSING: json.dumps(preprocessing, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        }
        if learned:
            packed = io.BytesIO()
            np.savez(packed, **learned)  # type: ignore[arg-type]
            files[LEARNED] = packed.getvalue()
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        metadata = {**metadata, "sha256": hashes[WEIGHTS], "files": hashes}
        for name, content in files.items():
            # What a defence learned of single members is theirs; weights and means are to be handed on.
            write_atomically(self.path / "target" / name, content, private=name == LEARNED)
        write_atomically(self.path / "target" / "metadata.json", json.dumps(metadata, indent=1).encode())

    def target_is_lost(self) -> bool:
        """The target was written here, as its block tells, and a file of it is not there any more, or is another."""
        try:
            return changed_file(self.path / "target") is not None
        except (OSError, ValueError, KeyError, TypeError):
            return True

    def _read(self) -> Study | None:
        file = self.path / "study.toml"
        return make_study(read_study(file), str(file)) if file.exists() else None


def changed_file(target: Path) -> str | None:
    """The name of a file of a target's folder that is not the one written there, or None.

    Raises:
        OSError, ValueError, KeyError, TypeError: metadata.json is not there, or harmed.
    """
    files = json.loads((target / "metadata.json").read_text("utf-8"))["files"]
    for name, digest in {WEIGHTS: None, PREPROCESSING: None, **files}.items():
        path = target / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return str(name)
    return None


def _differences(one: Study, other: Study) -> list[str]:
    """Dotted keys in which two studies differ, as far as trained models depend on them."""
    a, b = one.training_parts(), other.training_parts()
    return [
        f"{table}.{key}" if isinstance(a[table], dict) else table
        for table in a
        for key in (a[table] if isinstance(a[table], dict) else [""])
        if (a[table] != b[table] if not isinstance(a[table], dict) else a[table][key] != b[table].get(key))
    ]
