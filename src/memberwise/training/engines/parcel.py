"""What goes to workers once: trainer and collection, with large arrays apart, the user's own code, and versions.

Large arrays (and CPU tensors) are taken out of the pickle, each once however often it is referred to, so that an engine
can keep them where all processes of a node map the same memory. The user's own modules travel as their source.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import importlib.metadata
import io
import os
import pickle
import platform
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle
import numpy as np
import torch
from filelock import FileLock

from memberwise.errors import TrainingError
from memberwise.study.entrypoint import USER_FILE
from memberwise.types.arrays import Array
from memberwise.types.version import __version__

# Where workers keep the user's modules; seconds for which a folder that nobody holds may still be in the making.
FOLDER, YOUNG = "memberwise-code-", 60
# Smaller arrays stay in the pickle.
LARGE = 65_536
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
OURS = __name__.partition(".")[0]


@dataclass(frozen=True)
class Source:
    """A module of the user's own, as it goes to workers.

    Attributes:
        name: by which it is imported. package: it is a package's ``__init__``.
    """

    name: str
    text: bytes
    package: bool

    @property
    def file(self) -> Path:
        """Where it belongs in a folder of modules."""
        place = Path(*self.name.split("."))
        return place / "__init__.py" if self.package else place.with_name(place.name + ".py")


@dataclass(frozen=True)
class Letter:
    """What a worker must have, and be, to open a parcel.

    Attributes:
        content: pickle without its large arrays. sources: the user's own modules.
        versions: of Python and packages. hashes: SHA-256 of the modules' files that the content refers to.
    """

    content: bytes
    sources: tuple[Source, ...]
    versions: Mapping[str, str]
    hashes: Mapping[str, str]


@dataclass(frozen=True)
class Parcel:
    """A letter and the large arrays that it refers to by number."""

    letter: Letter
    arrays: Sequence[Array]

    @property
    def nbytes(self) -> int:
        """What one node is sent."""
        sources = sum(len(source.text) for source in self.letter.sources)
        return len(self.letter.content) + sources + sum(array.nbytes for array in self.arrays)


def pack(thing: object) -> Parcel:
    """A thing, ready to be sent."""
    file = io.BytesIO()
    packer = _Packer(file)
    packer.dump(thing)
    sources = _sources(packer.modules)
    hashes = {name: digest for name in sorted(packer.modules) if (digest := _file_hash(sys.modules.get(name)))}
    return Parcel(Letter(file.getvalue(), sources, versions(), hashes), packer.arrays)


def open_parcel(letter: Letter, arrays: Sequence[Array], worker: str) -> Any:
    """The thing again, on a worker; large arrays in it, each ``(...,)``, are ``arrays`` themselves, maybe read-only.

    Args:
        worker: what this worker is called in errors.

    Raises:
        TrainingError: another version of a package, or other code, is installed here.
    """
    check_versions(letter.versions, worker)
    _install(letter.sources)
    _check_code(letter.hashes, worker)
    return _Opener(io.BytesIO(letter.content), arrays).load()


def versions() -> dict[str, str]:
    """Of what figures depend on. A local part, such as torch's ``+cpu``, is left out: the processor's name says it."""
    found = {"memberwise": __version__, "python": ".".join(platform.python_version_tuple()[:2])}
    return found | {name: importlib.metadata.version(name).partition("+")[0] for name in PACKAGES}


def check_versions(theirs: Mapping[str, str], worker: str) -> None:
    """Raises:
    TrainingError: a version here is not the driver's.
    """
    here = versions()
    other = [name for name in theirs if here.get(name) != theirs[name]]
    if other:
        raise TrainingError(
            f"a worker has another version of {', '.join(other)}",
            expected=", ".join(f"{name} {theirs[name]}" for name in other) + ", as where the run was begun",
            found=", ".join(f"{name} {here.get(name)}" for name in other),
            where=worker,
            fix="install the same versions everywhere",
        )


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Notes the modules that are referred to, and numbers large arrays instead of writing them."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays: list[Array] = []
        self.places: dict[tuple[object, ...], int] = {}
        self.modules: set[str] = set()

    def persistent_id(self, thing: object) -> tuple[str, int, str] | None:
        if isinstance(thing, (type, FunctionType)):
            self.modules.add(str(thing.__module__))
        elif isinstance(thing, ModuleType):
            self.modules.add(thing.__name__)
        elif type(thing) is np.ndarray and thing.nbytes >= LARGE and not thing.dtype.hasobject:
            return "array", self._place(thing), ""
        elif type(thing) is torch.Tensor and _is_plain(thing):
            return "tensor", self._place(thing.cpu().numpy()), thing.device.type
        return None

    def _place(self, array: Array) -> int:
        key = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
        if key not in self.places:
            self.places[key] = len(self.arrays)
            self.arrays.append(array)
        return self.places[key]


def _is_plain(tensor: torch.Tensor) -> bool:
    whole = not tensor.requires_grad and tensor.layout is torch.strided and tensor.dtype is not torch.bfloat16
    return whole and tensor.numel() * tensor.element_size() >= LARGE


class _Opener(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Sequence[Array]) -> None:
        super().__init__(file)
        self.arrays = arrays

    def persistent_load(self, place: tuple[str, int, str]) -> object:
        kind, number, device = place
        if kind == "array":
            return self.arrays[number]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it cannot be written into: nothing writes into the data
            return torch.from_numpy(self.arrays[number]).to(device)


def is_local(module: ModuleType | None) -> bool:
    """A module of the user's own: from a file that is neither installed nor Python's nor ours."""
    file = getattr(module, "__file__", None)
    if module is None or not file or not str(file).endswith(".py") or module.__name__.partition(".")[0] == OURS:
        return False
    path = Path(file).resolve()
    of_python = Path(os.__file__).resolve().parent
    return module.__name__ != "__main__" and of_python not in path.parents and not _is_installed(path)


def _is_installed(path: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & {*path.parts})


def _sources(names: Iterable[str]) -> tuple[Source, ...]:
    """The local ones of these modules, and all that are loaded from beside or below them."""
    roots = {_root(module) for name in names if is_local(module := sys.modules.get(name)) and module is not None}
    loaded = [module for _, module in sorted(sys.modules.items()) if is_local(module) and _root(module) in roots]
    sources = {}
    for module in loaded:
        path = Path(str(module.__file__))
        sources[module.__name__] = Source(module.__name__, path.read_bytes(), path.name == "__init__.py")
    return tuple(sources.values())


def _root(module: ModuleType) -> Path:
    """The folder from which a module's name leads to its file; the file's own where the name does not lead there."""
    path = Path(str(module.__file__)).resolve()
    place = path.parent if path.name == "__init__.py" else path.with_suffix("")
    names = tuple(module.__name__.split("."))
    return place.parents[len(names) - 1] if place.parts[-len(names) :] == names else path.parent


def _file_hash(module: ModuleType | None) -> str | None:
    """SHA-256 of a module's file; None for Python's own, for what is typed in, and for compiled ones."""
    file = getattr(module, "__file__", None)
    if module is None or not file or not str(file).endswith(".py") or module.__name__ == "__main__":
        return None
    path = Path(file)
    if module.__name__.partition(".")[0] in sys.stdlib_module_names or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _install(sources: Sequence[Source]) -> None:
    """Make the user's own modules importable here; an older state of them, from an earlier run, is forgotten."""
    if all(_is_current(source) for source in sources):
        return
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    lock = FileLock(folder / ".lock")
    lock.acquire()
    atexit.register(_remove, folder, lock)
    for source in sources:
        file = folder / source.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.text)
        sys.modules.pop(source.name, None)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _remove(folder: Path, lock: FileLock) -> None:
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of processes that were killed: those which nobody holds any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        # Another user's, or gone meanwhile, is an OSError; so is Timeout, where it is held.
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > YOUNG:
                lock = FileLock(folder / ".lock", timeout=0)
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)


def _is_current(source: Source) -> bool:
    return _file_hash(sys.modules.get(source.name)) == hashlib.sha256(source.text).hexdigest()


def _check_code(hashes: Mapping[str, str], worker: str) -> None:
    """Raises:
    TrainingError: a module is missing here, or its file is another.
    """
    for name, expected in hashes.items():
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise TrainingError(
                f"a worker cannot import {shown_module(name)}",
                found=f"{type(error).__name__}: {error}",
                where=worker,
                fix="install there what is installed here; your own modules travel, data files beside them do not",
            ) from error
        digest = _file_hash(module)
        if digest != expected:
            raise TrainingError(
                f"a worker has other code of {shown_module(name)}",
                expected=f"SHA-256 {expected[:12]}..., as where the run was begun",
                found=f"{str(digest)[:12]}... in {getattr(module, '__file__', None)}",
                where=worker,
                fix="install the same version everywhere",
            )


def shown_module(name: str) -> str:
    """A module's name as the user knows it."""
    return name.removeprefix(USER_FILE).rpartition("_")[0] + ".py" if name.startswith(USER_FILE) else name
