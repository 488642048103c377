"""Collectors of the user's own: what is refused of them before anything is trained, and of what they gather."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, fields, is_dataclass
from typing import get_type_hints

import numpy as np
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from memberwise.errors import StudyError, TrainingError
from memberwise.signals.questions import Extra

FORM = "an object of a frozen dataclass (or pydantic model) with name, words, most_models and collect"


def parameters_of(collector: object) -> dict[str, JsonValue]:
    """A collector's parameters by name, as JSON holds them."""
    if isinstance(collector, BaseModel):
        return collector.model_dump(mode="json")
    if not is_dataclass(collector) or isinstance(collector, type):
        raise TypeError(f"a collector is a dataclass, not {type(collector).__name__}")
    return asdict(collector)


def check_collector(collector: object, built_in: Collection[str], where: str) -> None:
    """Refuse what is no collector, has a built-in one's name, or parameters that are not of their types.

    Raises:
        StudyError: with what is missing or wrong.
    """
    frozen = isinstance(collector, BaseModel) and bool(type(collector).model_config.get("frozen"))
    if not frozen and is_dataclass(collector) and not isinstance(collector, type):
        frozen = bool(getattr(type(collector), "__dataclass_params__").frozen)  # noqa: B009
    kinds = {"name": str, "words": str, "most_models": int}
    wrong = [name for name, kind in kinds.items() if not isinstance(getattr(collector, name, None), kind)]
    wrong += [] if callable(getattr(collector, "collect", None)) else ["collect"]
    if isinstance(collector, type) or not frozen or wrong:
        what = f"the class {collector.__name__}" if isinstance(collector, type) else type(collector).__name__
        reason = "" if isinstance(collector, type) or not wrong else f", without {', '.join(wrong)}"
        reason = reason or ("" if frozen or isinstance(collector, type) else ", which is not frozen")
        raise StudyError("what an attack needs is no collector", expected=FORM, found=f"{what}{reason}", where=where)
    name = str(getattr(collector, "name"))  # noqa: B009
    if name in built_in or not name.replace("-", "_").isidentifier():
        raise StudyError(
            f"a collector of one's own cannot be called {name!r}",
            expected="letters, digits, - and _, and no built-in collector's name",
            found=f"{type(collector).__module__}:{type(collector).__qualname__}, beside the built-in {name}"
            if name in built_in
            else None,
            where=where,
        )
    _check_parameters(collector, name, where)


def _check_parameters(collector: object, name: str, where: str) -> None:
    """Each parameter is of its type, and can be written down."""
    key = ""
    try:
        hints = get_type_hints(type(collector), include_extras=True)
        for key in _names(collector):
            TypeAdapter(hints[key]).validate_python(getattr(collector, key), strict=True)
        json.dumps(parameters_of(collector))
    except ValidationError as error:
        first = error.errors()[0]
        raise StudyError(
            f"the parameter {key} of the collector {name} is not usable",
            expected=first["msg"],
            found=repr(first["input"]),
            where=where,
        ) from None
    except (PydanticUserError, NameError, TypeError, ValueError) as error:
        raise StudyError(
            f"the parameters of the collector {name} cannot be written down",
            expected="numbers, texts, and lists and tables of these: they are part of the key of what it gathers",
            found=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            where=where,
        ) from None


def _names(collector: object) -> list[str]:
    """The names of its parameters."""
    if isinstance(collector, BaseModel):
        return list(type(collector).model_fields)
    return [field.name for field in fields(collector)] if is_dataclass(collector) else []


def check_extra(extra: object, name: str, models: int, records: int) -> None:
    """Refuse what a collector gathered where its form is another.

    Args:
        models, records: how many were asked, and about how many records.

    Raises:
        TrainingError: it is no ``Extra``, or its arrays have other shapes.
    """
    if extra is None:
        return
    form = type(extra).__name__
    if isinstance(extra, Extra):
        shapes = tuple(np.shape(extra.values)), tuple(np.shape(extra.queries))
        if shapes[0][:2] in ((models,), (models, records)) and shapes[1] == (models, records):
            return
        form = f"values {shapes[0]}, queries {shapes[1]}"
    raise TrainingError(
        f"the collector {name} gathers something of another form",
        expected=f"an Extra with values ({models},) or ({models}, {records}, ...) and queries ({models}, {records})",
        found=form,
    )
