"""Progress on standard error: models done, models per second, time left."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from memberwise.study.duration import duration

# Where nobody watches a terminal, a line at most this often.
LINE_SECONDS = 15.0


class Bar:
    """A live bar on a terminal, else a line now and then."""

    def __init__(self, what: str = "shadow models", unit: str = "models") -> None:
        self.what, self.unit, self.status = what, unit, ""
        self.last_line = time.monotonic()
        self.console = Console(stderr=True)
        self.live = self.console.is_terminal
        self.bar = Progress(
            TextColumn(what),
            BarColumn(),
            TextColumn("{task.fields[line]}"),
            console=self.console,
            transient=True,
        )

    def start(self, total: int, done: int) -> None:
        self.total, self.begun, self.first = total, time.monotonic(), done
        if self.live:
            self.task = self.bar.add_task("", total=total, line="")
            self.bar.start()

    def update(self, done: float) -> None:
        line = progress_line(done, self.total, done - self.first, time.monotonic() - self.begun, self.unit)
        line += f"; {self.status}" if self.status else ""
        if self.live:
            self.bar.update(self.task, completed=done, line=line)
        elif time.monotonic() - self.last_line > LINE_SECONDS:
            self.last_line = time.monotonic()
            print(f"{self.what}: {line}", file=sys.stderr, flush=True)

    def say(self, status: str) -> None:
        self.status = status

    def stop(self) -> None:
        if self.live:
            self.bar.stop()

    def named(self, what: str) -> Bar:
        return Bar(what, what)


def progress_line(done: float, total: int, trained: float, seconds: float, unit: str = "models") -> str:
    """For example ``12 of 64, 1.9 models/s, 27 s left``."""
    text = f"{int(done)} of {total}"
    if trained <= 0 or seconds <= 0:
        return text
    rate = trained / seconds
    return f"{text}, {rate:.1f} {unit}/s, {duration((total - done) / rate)} left"
