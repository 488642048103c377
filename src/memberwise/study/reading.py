"""From a file, flags and settings to a study; what cannot be understood is named with its key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from memberwise.errors import StudyError, did_you_mean
from memberwise.study.address import check_address
from memberwise.study.engine import of_ray_alone
from memberwise.study.schema import Study
from memberwise.types.parts import Plain

# Keys that had another name once.
MOVED = {"shadow.engine": "engine.name"}
# No key has more tables and lists around it.
MOST_LEVELS = 20


def make_study(values: Mapping[str, object], where: str) -> Study:
    """Check plain nested values and make a ``Study``; an error names the key, what was found and close keys."""
    check_depth(values, where)
    target = values.get("target")
    if isinstance(target, Mapping):
        check_address(target.get("endpoint"), f"{where}, target.endpoint")
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise _study_error(error, where) from None


def read_study(file: str | Path) -> dict[str, object]:
    """The nested values of a study file."""
    path = Path(file)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise StudyError(
            f"the study file {path} does not exist", fix="memberwise init writes one to start from"
        ) from None
    except RecursionError:
        raise _too_deep(str(path)) from None
    except (ValueError, OSError) as error:  # no TOML, no UTF-8, numbers of thousands of digits
        raise StudyError(f"the study file {path} cannot be read", expected="TOML", found=str(error)) from None
    check_depth(values, str(path))
    if not values:
        raise StudyError(f"the study file {path} is empty", fix="memberwise init writes one to start from")
    return values


def apply_settings(values: dict[str, object], settings: Sequence[str]) -> dict[str, object]:
    """Put ``key.path=value`` settings into nested values; a value is read as TOML, else taken as text."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise StudyError(
                f"--set {setting} is not understood", expected="key=value", fix="for example --set training.epochs=40"
            )
        put(values, key.strip(), _toml_value(text.strip(), f"--set {key.strip()}"))
    check_depth(values, "--set")
    return values


def put(values: Plain, dotted: str, value: object) -> None:
    """Set one dotted key in nested values."""
    dotted = MOVED.get(dotted, dotted)
    *tables, last = dotted.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise StudyError(f"the key {dotted} goes through {table}, which is a value and not a table")
    values[last] = value


def check_ray_address(address: object, study: Study) -> None:
    """An address of Ray's that is given beside a study is for the engine of Ray.

    Raises:
        StudyError: the models would train elsewhere.
    """
    if address is not None and study.engine.name != "ray":
        raise of_ray_alone(study.engine.name)


def choose_count(values: Plain, count: int | None, budget: str | None) -> None:
    """A number of shadow models that is asked for stands instead of the study's budget of time.

    Raises:
        StudyError: both are asked for.
    """
    if count is not None and budget is not None:
        raise StudyError(
            "a budget trains as many shadow models as fit, which is a number of its own",
            found=f"{count} shadow models and a budget of {budget}",
            fix="leave one of them out",
        )
    if count is not None and isinstance(values.get("shadow"), dict):
        values["shadow"].pop("budget", None)


def _toml_value(text: str, where: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError:
        return text


def check_depth(value: object, where: str, allowed: int = MOST_LEVELS) -> None:
    """Raises:
    StudyError: tables within tables beyond what any key needs.
    """
    if not allowed:
        raise _too_deep(where)
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    for part in inside:
        check_depth(part, where, allowed - 1)


def _too_deep(where: str) -> StudyError:
    return StudyError("values are nested too deeply", expected=f"at most {MOST_LEVELS} levels", where=where)


def _study_error(error: ValidationError, where: str) -> StudyError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _keys_beside(path[:-1])
        return StudyError(
            f"unknown study key {key}",
            expected="one of " + ", ".join(known),
            where=where,
            fix=did_you_mean(path[-1], known) or "memberwise init writes a study with every key",
        )
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "tuple_type":
        message = f"a list, such as {key}=[{json.dumps(str(first['input']))}]"
    allowed = re.findall(r"'([^']*)'", first["msg"]) if first["type"] == "literal_error" else ()
    return StudyError(
        f"the study key {key} is not usable",
        expected=message,
        found=repr(first["input"]),
        where=where,
        fix=did_you_mean(str(first["input"]), allowed),
    )


def _keys_beside(path: Sequence[str]) -> list[str]:
    part: type[BaseModel] = Study
    for name in path:
        annotation = part.model_fields[name].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        part = annotation
    return sorted(part.model_fields)
