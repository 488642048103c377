"""What was read from JSON, and readers that narrow it: ``TypeError`` where it is something else."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"


def object_of(value: Json) -> JsonObject:
    """The value, an object.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, dict):
        raise TypeError(f"a JSON object is needed, found {type(value).__name__}")
    return value


def list_of(value: Json) -> list[Json]:
    """The value, a list.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, list):
        raise TypeError(f"a JSON list is needed, found {type(value).__name__}")
    return value


def string_of(value: Json) -> str:
    """The value, a string.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"a JSON string is needed, found {type(value).__name__}")
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a JSON number, which true and false are not."""
    return type(value) in (int, float)


def are_numbers(values: list[Json]) -> TypeGuard[list[int | float]]:
    """Whether all are JSON numbers."""
    return set(map(type, values)) <= {int, float}
