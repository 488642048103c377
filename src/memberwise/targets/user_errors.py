"""Around code that is not ours: what it raises becomes an error that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from memberwise.errors import MemberwiseError, TrainingError


@contextmanager
def wrap_user_errors(doing: str, fix: str = "run again with --debug for the traceback") -> Iterator[None]:
    """Whatever a module or a step raises becomes a TrainingError: ``doing`` fails.

    Raises:
        TrainingError: something was raised inside, other than our own errors and want of memory.
    """
    try:
        yield
    except (MemberwiseError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise TrainingError(f"{doing} fails", found=f"{type(error).__name__}: {first}", fix=fix) from error
