"""How many cores there are, and how many threads compute."""

from __future__ import annotations

import joblib
import torch


def cores() -> int:
    """Processor cores this process may use, a container's share (cgroups) considered; at least one."""
    return int(joblib.cpu_count())


class threads_of:
    """``with threads_of(plan.threads):`` torch uses that many threads inside."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
