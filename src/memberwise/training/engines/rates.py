"""What a cluster does just now, for whoever watches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Rates:
    """Models that came back, by kind of processor, since when."""

    begun: float = field(default_factory=time.monotonic)
    models: Counter[str] = field(default_factory=Counter)

    def count(self, processor: str, models: int) -> None:
        """So many came back."""
        self.models[processor or "a worker"] += models

    @property
    def parts(self) -> list[str]:
        """``1.3 models/s by NAME`` for each kind."""
        seconds = max(time.monotonic() - self.begun, 1e-9)
        return [f"{count / seconds:.1f} models/s by {name}" for name, count in self.models.items()]


def status_line(workers: str, under_way: int, rates: Rates, reasons: Sequence[str]) -> str:
    """Workers, blocks under way, models per second by kind, and what was tried again."""
    blocks = f"{under_way} block{'s' * (under_way != 1)} under way"
    again = [f"{len(reasons)} tried again"] if reasons else []
    return ", ".join([workers, blocks, *rates.parts, *again])
