"""How many cores there are, and how many threads compute."""

from __future__ import annotations

import os

import torch


def cores() -> int:
    """Processor cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


class threads_of:
    """``with threads_of(plan.threads):`` torch uses that many threads inside."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
