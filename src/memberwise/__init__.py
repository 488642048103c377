"""Find out what a classifier tells about the records it was trained on, then make it tell less.

``import memberwise`` is light: torch and scikit-learn are imported when an audit runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from memberwise.types.version import __version__

if TYPE_CHECKING:
    from memberwise.api import audit, defend, screen
    from memberwise.auditing.load import load_signals
    from memberwise.checks import check_attack, check_defence
    from memberwise.defences.released import load_target
    from memberwise.errors import (
        AskingError,
        CheckError,
        DataError,
        MemberwiseError,
        MissingExtraError,
        RunFolderError,
        StoreError,
        StudyError,
        TargetError,
        TrainingError,
    )
    from memberwise.report.frames import compare
    from memberwise.report.result import Result
    from memberwise.statistics.estimate import Estimate
    from memberwise.study.schema import Study
    from memberwise.targets.inspection import inspect


_PLACES = {
    "audit": "memberwise.api",
    "defend": "memberwise.api",
    "screen": "memberwise.api",
    "load_signals": "memberwise.auditing.load",
    "load_target": "memberwise.defences.released",
    "inspect": "memberwise.targets.inspection",
    "check_attack": "memberwise.checks",
    "compare": "memberwise.report.frames",
    "check_defence": "memberwise.checks",
    "Result": "memberwise.report.result",
    "Estimate": "memberwise.statistics.estimate",
    "Study": "memberwise.study.schema",
    "CheckError": "memberwise.errors",
    "DataError": "memberwise.errors",
    "MemberwiseError": "memberwise.errors",
    "MissingExtraError": "memberwise.errors",
    "RunFolderError": "memberwise.errors",
    "StoreError": "memberwise.errors",
    "AskingError": "memberwise.errors",
    "StudyError": "memberwise.errors",
    "TargetError": "memberwise.errors",
    "TrainingError": "memberwise.errors",
}

__all__ = [
    "AskingError",
    "CheckError",
    "DataError",
    "Estimate",
    "MemberwiseError",
    "MissingExtraError",
    "Result",
    "RunFolderError",
    "StoreError",
    "Study",
    "StudyError",
    "TargetError",
    "TrainingError",
    "__version__",
    "audit",
    "check_attack",
    "check_defence",
    "compare",
    "defend",
    "inspect",
    "load_signals",
    "load_target",
    "screen",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'memberwise' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
