"""Engines by the name that ``shadow.engine`` gives."""

from __future__ import annotations

from memberwise.registry import Registry
from memberwise.training.engines.base import EngineMaker
from memberwise.training.engines.local import LocalEngine

LOCAL = "local"
ENGINES: Registry[EngineMaker] = Registry("engine", {LOCAL: LocalEngine}.items())


def find_engine(name: str) -> EngineMaker:
    """What makes the engine of this name.

    Raises:
        StudyError: there is none.
    """
    if name not in ENGINES:
        raise ENGINES.unknown(name, "shadow.engine")
    return ENGINES[name]
