"""How far a run has come, told to whoever watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how many shadow models are done."""

    def start(self, total: int, done: int) -> None: ...
    def update(self, done: float) -> None: ...
    def stop(self) -> None: ...

    def say(self, status: str) -> None:
        """Who works on what, in words, until the next ``update`` shows it."""
        ...

    def named(self, what: str) -> Progress:
        """Another one, of something else, such as "questions"."""
        ...


class Silent:
    """Progress that nobody watches."""

    def start(self, total: int, done: int) -> None: ...
    def update(self, done: float) -> None: ...
    def stop(self) -> None: ...
    def say(self, status: str) -> None: ...

    def named(self, what: str) -> Silent:
        return self
