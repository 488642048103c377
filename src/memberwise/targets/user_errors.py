"""Around code that is not ours: what it raises becomes an error that says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from memberwise.errors import MemberwiseError, TrainingError
from memberwise.study.entrypoint import raised_at


@contextmanager
def wrap_user_errors(
    doing: str, fix: str = "run again with --debug for the traceback", where: str | None = None
) -> Iterator[None]:
    """Whatever a module or a step raises becomes a TrainingError: ``doing`` fails.

    Args:
        where: the key that names the code; the line that raised stands beside it.

    Raises:
        TrainingError: something was raised inside, other than our own errors and want of memory.
    """
    try:
        yield
    except (MemberwiseError, MemoryError):
        raise
    except Exception as error:
        torch = sys.modules.get("torch")  # what has not loaded it does not raise its errors
        if torch is not None and isinstance(error, torch.OutOfMemoryError):
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        raise TrainingError(
            f"{doing} fails",
            found=f"{type(error).__name__}: {first}",
            where=None if where is None else raised_at(error, where),
            fix=fix,
        ) from error
