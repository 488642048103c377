"""Load what the user names: ``file.py:function`` or ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from memberwise.errors import MemberwiseError, StudyError, did_you_mean

# What the modules are called that were loaded from a user's file.
USER_FILE = "_memberwise_"
SUGGESTED = 20
Kinds = tuple[type, ...]


def is_entrypoint(name: str) -> bool:
    """True for ``file.py:function`` and ``module:Class``, false for names, files and Windows drive paths."""
    place, colon, attribute = name.rpartition(":")
    return bool(colon) and bool(place) and attribute.isidentifier()


def load_entrypoint(name: str, where: str, kinds: Kinds = (), classes: Kinds = ()) -> Any:
    """The object which ``file.py:function`` or ``package.module:Class`` names.

    Args:
        kinds: what such an object may be an instance of, which the caller checks; here they tell which other names
            would do. None: anything that can be called.
        classes: those of the kinds of which a class does, too.

    Raises:
        StudyError: the file or module does not exist, fails to import, or holds no such name.
    """
    place, _, attribute = name.rpartition(":")
    module = _load(place, where)
    if not hasattr(module, attribute):
        raise _no_such_name(module, place, attribute, where, kinds, classes)
    return getattr(module, attribute)


def _load(place: str, where: str) -> ModuleType:
    try:
        return _load_file(Path(place), where) if place.endswith(".py") else _load_module(place)
    except MemberwiseError:
        raise
    except (Exception, SystemExit) as error:
        raise StudyError(
            f"{place} fails while it is imported",
            found=f"{type(error).__name__}: {error}",
            where=raised_at(error, where),
        ) from error


def raised_at(error: BaseException, where: str) -> str:
    """``where``, and the line of the user's own code in which the error was raised, if it is known."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).parents[1])
    lines = [f for f in frames if not f.filename.startswith((ours, "<")) and not _is_installed(f.filename)]
    return f"{where} ({lines[-1].filename}, line {lines[-1].lineno})" if lines else where


def _is_installed(file: str) -> bool:
    return bool({"site-packages", "dist-packages"} & {*Path(file).parts}) or file.startswith(sys.base_prefix)


def _no_such_name(
    module: ModuleType, place: str, attribute: str, where: str, kinds: Kinds, classes: Kinds
) -> StudyError:
    """The error for a name that a file or module has not, with the names in it that would do."""
    words = " or ".join(kind.__name__ for kind in kinds) or "function or class"
    public = ((key, value) for key, value in vars(module).items() if not key.startswith("_"))
    names = sorted(key for key, value in public if _fits(value, kinds, classes))
    if not kinds:
        names = [key for key in names if _is_own(vars(module)[key], module)]
    what = "file" if place.endswith(".py") else "module"
    return StudyError(
        f"{place} holds no {attribute}",
        expected="one of " + ", ".join(names[:SUGGESTED]) if names else f"the name of a {words}",
        found=None if names else f"the {what} defines no {words}",
        where=where,
        fix=did_you_mean(attribute, names),
    )


def _fits(value: object, kinds: Kinds, classes: Kinds) -> bool:
    """An instance of one of the kinds, or a class below one of the classes; any callable where there are no kinds."""
    if not kinds:
        return callable(value)
    if not isinstance(value, type):
        return isinstance(value, kinds)
    # The base class itself, which such a file imports, is none yet.
    return issubclass(value, classes) and value not in classes


def _is_own(value: object, module: ModuleType) -> bool:
    """What a user's file imports is left out; a package may well pass on what its modules hold."""
    return not module.__name__.startswith(USER_FILE) or getattr(value, "__module__", None) == module.__name__


def code_hash(thing: object) -> str:
    """SHA-256 of the source file in which a class or function is written (of its name where there is no file).

    Of an object, its class's. Modules that a user's file imported from beside it count, too, and so do the values that
    a function closes over and the arguments of a ``functools.partial``: the same code makes other models of them.
    """
    if isinstance(thing, partial):
        bound = [thing.args, sorted(thing.keywords.items())]
        return _hash([code_hash(thing.func).encode(), *(_described(value) for value in bound)])
    closed = _closed_over(thing)
    thing = thing if inspect.isroutine(thing) or isinstance(thing, type) else type(thing)
    try:
        file = Path(inspect.getfile(thing))
        sources = [file.read_bytes(), *(other.read_bytes() for other in _beside(thing, file))]
    except (TypeError, OSError):
        sources = [repr(thing.__qualname__).encode()]
    return _hash([*sources, *closed])


def _hash(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _closed_over(thing: object) -> list[bytes]:
    """The plain values and functions that a function's closure holds; itself, in recursion, left out."""
    values = []
    for cell in getattr(thing, "__closure__", None) or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not yet filled
            continue
        if value is not thing:
            values.append(_described(value))
    return values


def _described(value: object) -> bytes:
    if inspect.isroutine(value):
        return getattr(value, "__qualname__", "").encode()
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(_described(one) for one in value) + b"]"
    plain = value is None or isinstance(value, (bool, int, float, complex, str, bytes))
    return (repr(value) if plain else type(value).__qualname__).encode()


def _beside(thing: object, file: Path) -> list[Path]:
    """Files of loaded modules in the folder of a user's file, or below; none for what is installed."""
    if not str(getattr(thing, "__module__", "")).startswith(USER_FILE):
        return []
    path = file.resolve()
    home = f"{path.parent}{os.sep}"
    files = {_real(str(loaded)) for other in list(sys.modules.values()) if (loaded := getattr(other, "__file__", None))}
    near = (Path(one) for one in files if one.startswith(home) and one.endswith(".py") and one != str(path))
    return sorted(other for other in near if not {"site-packages", "dist-packages"} & {*other.parts})


@cache
def _real(file: str) -> str:
    """Without symbolic links; thousands of modules may be loaded, and each step of an audit asks for their places."""
    return os.path.realpath(file)


def _load_file(path: Path, where: str) -> ModuleType:
    if not path.is_file():
        raise StudyError(f"the file {path} does not exist", where=where, fix="give file.py:NAME, the file's path first")
    # A name of its own, so that two files called model.py do not meet in sys.modules.
    name = f"{USER_FILE}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyError(f"{path} cannot be imported", expected="a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _look_beside(path.resolve().parent)
    spec.loader.exec_module(module)
    return module


def _look_beside(folder: Path) -> None:
    """Let a user's file import what lies beside it, and not what lies, under the same name, beside another's."""
    files = [module.__file__ for name, module in list(sys.modules.items()) if name.startswith(USER_FILE)]
    others = {Path(file).resolve().parent for file in files if file} - {folder}
    for name, module in list(sys.modules.items()):
        file, (first, *more) = getattr(module, "__file__", None), name.split(".")
        if not file or not ((folder / f"{first}.py").is_file() or (folder / first).is_dir()):
            continue
        theirs = [other.joinpath(first, *more) for other in others]
        if Path(file).resolve() in {place for own in theirs for place in (own.with_suffix(".py"), own / "__init__.py")}:
            del sys.modules[name]
    places = [place for place, entry in enumerate(sys.path) if Path(entry).resolve() in others]
    if str(folder) not in sys.path:
        sys.path.insert(min(places, default=len(sys.path)), str(folder))
    elif places and sys.path.index(str(folder)) > places[0]:
        sys.path.remove(str(folder))
        sys.path.insert(places[0], str(folder))


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
