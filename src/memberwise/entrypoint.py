"""Load what the user names: ``file.py:function`` or ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from memberwise.errors import MemberwiseError, StudyError

# What the modules are called that were loaded from a user's file.
USER_FILE = "_memberwise_"


def is_entrypoint(name: str) -> bool:
    """True for ``file.py:function`` and ``module:Class``, false for names, files and Windows drive paths."""
    place, colon, attribute = name.rpartition(":")
    return bool(colon) and bool(place) and attribute.isidentifier()


def load_entrypoint(name: str, where: str) -> Any:
    """The object which ``file.py:function`` or ``package.module:Class`` names.

    Raises:
        StudyError: the file or module does not exist, fails to import, or holds no such name.
    """
    place, _, attribute = name.rpartition(":")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    except MemberwiseError:
        raise
    except Exception as error:
        raise StudyError(
            f"{place} fails while it is imported", found=f"{type(error).__name__}: {error}", where=where
        ) from error
    if not hasattr(module, attribute):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise StudyError(
            f"{place} holds no {attribute}", expected="one of " + ", ".join(sorted(names)[:20]), where=where
        )
    return getattr(module, attribute)


def code_hash(thing: Any) -> str:
    """SHA-256 of the source file in which a class or function is written (of its name where there is no file)."""
    try:
        source = Path(inspect.getfile(thing)).read_bytes()
    except (TypeError, OSError):
        source = repr(getattr(thing, "__qualname__", type(thing).__qualname__)).encode()
    return hashlib.sha256(source).hexdigest()


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise StudyError(f"the file {path} does not exist", where=f"{path}:...", fix="give file.py:function")
    # A name of its own, so that two files called model.py do not meet in sys.modules.
    name = f"{USER_FILE}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{path} cannot be imported", expected="a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # so that the file can import what lies beside it
        sys.path.append(folder)
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise StudyError(
            f"there is no module {name}", fix="for a file write file.py:function; a module must be importable from here"
        ) from None
