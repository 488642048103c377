"""Engines by the name that ``shadow.engine`` gives."""

from __future__ import annotations

import difflib

from memberwise.errors import StudyError
from memberwise.training.engines.base import EngineMaker
from memberwise.training.engines.local import LocalEngine

LOCAL = "local"
ENGINES: dict[str, EngineMaker] = {LOCAL: LocalEngine}


def find_engine(name: str) -> EngineMaker:
    """What makes the engine of this name.

    Raises:
        StudyError: there is none.
    """
    maker = ENGINES.get(name)
    if maker is None:
        close = difflib.get_close_matches(name, ENGINES, n=3)
        raise StudyError(
            f"there is no engine {name}",
            expected="one of " + ", ".join(ENGINES),
            where="shadow.engine",
            fix=f"did you mean {' or '.join(close)}?" if close else None,
        )
    return maker
