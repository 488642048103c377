"""What was found wrong, gathered and raised together."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from memberwise.errors import CheckError, MemberwiseError, MissingExtraError

LONGEST = 300
# Code under these folders is not the user's.
NOT_THEIRS = tuple(
    folder + os.sep
    for folder in (str(Path(__file__).parents[1]), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
)

Fix = str | Callable[[Exception], str | None] | None


class Findings:
    """Broken promises of one attack or defence."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.broken: list[tuple[str, str]] = []
        self.fixes: list[str] = []
        self.cause: Exception | None = None

    def add(self, promise: str, found: str, fix: str | None = None) -> None:
        # A fault of the defence shows at every point of its grid: once is enough.
        if (promise, found) not in self.broken:
            self.broken.append((promise, found))
        if fix and fix not in self.fixes:
            self.fixes.append(fix)

    @contextmanager
    def part(self, name: str, fix: Fix = None, last: bool = True) -> Iterator[None]:
        """An error inside, which the user's own code raised, becomes a finding about the part called ``name``.

        Args:
            fix: what to do, or a function that tells it from the error.
            last: nothing can be tried without this part, so what was found so far is raised.
        """
        try:
            yield
        except (CheckError, MissingExtraError):
            raise
        except Exception as raised:
            # Behind our words about training and answering stands what the user's own code raised.
            error = raised.__cause__ if isinstance(raised.__cause__, Exception) else raised
            advice = fix(error) if callable(fix) else fix
            self.add(f"{name} without an error", told(error), advice or getattr(error, "fix", None))
            self.cause = self.cause or error
            if last:
                self.close()

    def close(self) -> None:
        """Raise everything that was found, if anything was.

        Raises:
            CheckError: something was; its cause is the first error which the user's own code raised.
        """
        if self.broken:
            lines = "; ".join(f"{promise}: found {fact}" for promise, fact in self.broken)
            raise CheckError(
                f"{self.what} does not keep to its contract", expected=lines, fix="; ".join(self.fixes) or None
            ) from self.cause


def told(error: Exception) -> str:
    """An error in one line, with the place in the user's own code from which it came."""
    if isinstance(error, MemberwiseError):
        detail = [f"expected {error.expected}"] if error.expected else []
        return ", ".join([error.problem, *detail, *([f"found {error.found}"] if error.found else [])])
    if isinstance(error, ValidationError):
        return ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:LONGEST] if lines else 'no message'}{place(error)}"


def place(error: Exception) -> str:
    """Where in the user's own code an error was raised; empty where it was not raised there."""
    frames = traceback.extract_tb(error.__traceback__)
    calls = [frame for frame in frames if not frame.filename.startswith(NOT_THEIRS)]
    return f" (in {calls[-1].name}, {Path(calls[-1].filename).name} line {calls[-1].lineno})" if calls else ""


def shown(value: object) -> str:
    """What was given, for a message about its type."""
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    name = type(value).__name__
    return f"the class {value.__name__}" if isinstance(value, type) else f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
