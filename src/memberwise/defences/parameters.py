"""What is said of a defence's parameters that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from memberwise.errors import StudyError


def unusable_parameter(error: ValidationError, what: str, name: str, known: Iterable[str], where: str) -> StudyError:
    """The error for the first parameter that is unknown or out of range.

    Args:
        what: "training defence" or "output defence". name: of the defence. known: its parameters.
    """
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        expected = "one of " + ", ".join(known) if known else "none"
        return StudyError(f"the {what} {name} has no parameter {key}", expected=expected, where=where)
    # What a whole set of parameters fails at names none of them.
    problem = f"the parameter {key} of {name} is not usable" if key else f"{name} cannot have these together"
    return StudyError(problem, expected=first["msg"], found=repr(first["input"]), where=where)
