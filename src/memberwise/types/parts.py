"""Frozen dataclasses as plain values, and back: one way for every part of a result, from which its JSON Schema is
written too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from memberwise.errors import RunFolderError

# Plain values by name, as JSON has them: what is handed to a user, or read from a file.
Plain = dict[str, Any]
Part = TypeVar("Part")
# Of a value, and of where it stands.
Read = Callable[[Any, str], object]


# Metadata of a field: its key is left out where it is None; its key comes before those of the base class.
LEFT_OUT, FIRST = {"left_out": True, "optional": True}, {"first": True}
# The part that holds the field decides whether its key is there.
OPTIONAL = {"optional": True}


def to_plain(part: object) -> Plain:
    """A part by the names of its fields; parts in it likewise, tuples as lists."""
    return {
        one.name: _plain(value)
        for one in _ordered(type(part))
        if (value := getattr(part, one.name)) is not None or not one.metadata.get("left_out")
    }


def from_plain(kind: type[Part], values: Mapping[str, object], where: str = "") -> Part:
    """The part that ``to_plain`` gave; what earlier versions did not write is empty, and what they alone wrote is gone.

    Raises:
        RunFolderError: a figure that cannot be missing is.
    """
    hints, values_read = _hints(kind), {}
    for one in fields(cast(Any, kind)):
        name = one.name
        if name in values:
            values_read[name] = _read(_reader(hints[name]), values[name], f"{where}.{name}".lstrip("."))
        elif one.default is MISSING and one.default_factory is MISSING:
            values_read[name] = _nothing(hints[name], f"{where}.{name}".lstrip("."))
    return kind(**values_read)


class Document:
    """A part that is a file of its own; a frozen dataclass, whose fields are the file's keys."""

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """What ``to_dict`` or the file has.

        Raises:
            RunFolderError: a figure that cannot be missing is.
        """
        return from_plain(cls, values)

    def to_dict(self) -> Plain:
        """What the file holds."""
        return to_plain(self)


def json_schema(kind: type[object], title: str) -> Plain:
    """The JSON Schema (draft 2020-12) of what ``to_plain`` gives of a part."""
    defined: dict[str, Plain] = {}
    whole = _object(kind, defined)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **whole, "$defs": dict(sorted(defined.items()))}


def _ordered(kind: Any) -> list[Field[Any]]:
    return sorted(fields(kind), key=lambda one: not one.metadata.get("first"))


def _hints(kind: Any) -> Plain:
    """The types of a part's fields, by name."""
    return _hints_of(kind)


@cache
def _hints_of(kind: Any) -> Plain:
    return get_type_hints(kind)


def _plain(value: object) -> object:
    if is_dataclass(value):
        return to_plain(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _reader(hint: Any) -> Read | None:
    """How a value of this type is read; None: it stays as it is."""
    return _reader_of(hint)


@cache
def _reader_of(hint: Any) -> Read | None:
    inner, origin = get_args(hint), get_origin(hint)
    if origin in (Union, UnionType):
        return _reader(next(one for one in inner if one is not type(None)))
    if is_dataclass(hint):
        return lambda value, where: from_plain(cast(type[object], hint), value, where)
    if origin is tuple:
        read = _reader(inner[0])
        return lambda value, where: tuple(_read(read, one, f"{where}[{k}]") for k, one in enumerate(value))
    if origin is dict:
        read = _reader(inner[1])
        return lambda value, where: {key: _read(read, one, f"{where}.{key}") for key, one in value.items()}
    return None


def _read(reader: Read | None, value: Any, where: str) -> object:
    return value if value is None or reader is None else reader(value, where)


def _nothing(hint: object, where: str) -> object:
    """What stands for a key that is not there."""
    if get_origin(hint) is tuple:
        return ()
    if type(None) in get_args(hint):
        return None
    raise RunFolderError("a result lacks a part", expected=where, found="nothing")


_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}


def _object(kind: type[object], defined: dict[str, Plain]) -> Plain:
    hints, ordered = _hints(kind), _ordered(kind)
    return {
        "description": str(kind.__doc__).split("\n\n")[0].replace("\n    ", " "),
        "type": "object",
        "properties": {one.name: _schema(hints[one.name], defined) for one in ordered},
        "required": [one.name for one in ordered if not one.metadata.get("optional")],
        "additionalProperties": False,
    }


def _schema(hint: object, defined: dict[str, Plain]) -> Plain:
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return {"anyOf": [_schema(one, defined) for one in inner]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": _schema(inner[0], defined)}
    if get_origin(hint) is Literal:
        return {"enum": list(inner)}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": True if inner[1] is Any else _schema(inner[1], defined)}
    if hint is type(None):
        return {"type": "null"}
    if is_dataclass(hint):
        kind = cast(type[object], hint)
        if kind.__name__ not in defined:
            defined[kind.__name__] = {}  # it may hold itself
            defined[kind.__name__] = _object(kind, defined)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return {"type": _SCALARS[hint]} if hint in _SCALARS else {}
