"""Where and with what figures were measured, and whether anything else ran meanwhile."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

UNITS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


class Watch:
    """How much of the processors' time others had while we measured (Linux; None elsewhere)."""

    def __init__(self) -> None:
        self.before = _busy(), _own()

    def others_share(self) -> float | None:
        """From 0 to 1; processes that we started count once they have ended."""
        (before, own_before), now, own = self.before, _busy(), _own()
        if before is None or now is None:
            return None
        used, passed = now[0] - before[0], now[1] - before[1]
        return max(0.0, (used - (own - own_before)) / max(passed, 1e-9))


def _busy() -> tuple[float, float] | None:
    """Seconds that all processors were busy (taken away by a hypervisor included), and seconds that passed on them."""
    try:
        ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    hertz = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - ticks[3] - ticks[4]) / hertz, sum(ticks) / hertz


def _own() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def machine() -> dict[str, Any]:
    facts: dict[str, str] = {}
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts = {key.strip(): value.strip() for key, value in (line.split(":", 1) for line in lines)}
    return {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "family": facts.get("cpu family"),
        "cores": len(os.sched_getaffinity(0)),
        "vector_units": [unit for unit in UNITS if unit in facts.get("flags", "").split()],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    names = ("memberwise", "torch", "numpy", "scipy", "scikit-learn")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in names}
