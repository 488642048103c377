"""What was found wrong, gathered and raised together."""

from __future__ import annotations

from memberwise.errors import CheckError


class Findings:
    """Broken promises of one attack or defence."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.broken: list[tuple[str, str]] = []

    def add(self, promise: str, found: str) -> None:
        self.broken.append((promise, found))

    def close(self) -> None:
        """Raise everything that was found, if anything was.

        Raises:
            CheckError: something was.
        """
        if self.broken:
            lines = "; ".join(f"{promise}: found {found}" for promise, found in self.broken)
            raise CheckError(f"{self.what} does not keep to its contract", expected=lines)
