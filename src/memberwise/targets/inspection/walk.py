"""All the objects inside a fitted estimator, each once, with the path to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Objects that are looked into; a file that holds more is no classifier.
MOST = 200_000


def parts_of(thing: object, path: str = "") -> Iterator[tuple[str, object]]:
    """``(path, object)`` of the object itself and of all inside it: attributes, lists, dictionaries."""
    seen: set[int] = set()
    waiting = [(path or type(thing).__name__, thing)]
    while waiting and len(seen) < MOST:
        where, one = waiting.pop()
        if id(one) in seen or isinstance(one, (str, bytes, int, float, bool, type(None), type)):
            continue
        seen.add(id(one))
        yield where, one
        waiting += reversed(list(_inside(where, one)))


def _inside(where: str, one: object) -> Iterator[tuple[str, object]]:
    if isinstance(one, dict):
        yield from ((f"{where}.{key}", value) for key, value in one.items())
    elif isinstance(one, (list, tuple, set)):
        yield from (_named(where, i, value) for i, value in enumerate(one))
    elif isinstance(one, np.ndarray):
        if one.dtype.kind == "O":
            yield from ((f"{where}[{i}]", value) for i, value in enumerate(one.ravel()))
    elif hasattr(one, "__dict__"):
        yield from ((f"{where}.{name}", value) for name, value in vars(one).items())


def _named(where: str, i: int, value: object) -> tuple[str, object]:
    """A step of a pipeline goes by its name."""
    if isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], str):
        return f"{where}.{value[0]}", value[1]
    return f"{where}[{i}]", value
