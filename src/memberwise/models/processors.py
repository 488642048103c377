"""What computes, by name: figures of one kind of processor are the same to the bit, of two kinds to a tolerance."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


@cache
def processor_name(device: str) -> str:
    """The name of this machine's "cpu" or "cuda" processor, as its maker writes it."""
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return name
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
