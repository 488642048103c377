"""The machine's own limit: how fast it multiplies matrices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from results import Section
from torch.utils.flop_counter import FlopCounterMode
from workload import arrays_of, synchronise

from memberwise.auditing.prepare import Prepared

FAVOURABLE = ((1024, 1024, 1024), (2048, 2048, 2048), (3072, 3072, 3072), (4096, 1024, 4096))
WIDTHS = ((784, 200), (200, 200), (200, 10))
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def multiply(shape: Sequence[int], precision: str, device: torch.device, stack: int = 0) -> Callable[[], Any]:
    """The product of ``(m, k)`` and ``(k, n)``, or of a stack of such."""
    m, k, n = shape
    lead, kind = (stack,) if stack else (), {"device": device, "dtype": PRECISIONS[precision]}
    a, b = torch.randn(*lead, m, k, **kind), torch.randn(*lead, k, n, **kind)  # type: ignore[call-overload]
    return lambda: torch.matmul(a, b)


def speed(product: Callable[[], Any], operations: float, seconds: float) -> float:
    """GFLOP/s: the fastest of repeated timings, as others only ever make it slower."""
    product()
    synchronise()
    best, until = float("inf"), time.perf_counter() + seconds
    repeats = max(1, int(1e8 / operations))
    while time.perf_counter() < until:
        begun = time.perf_counter()
        for _ in range(repeats):
            product()
        synchronise()
        best = min(best, (time.perf_counter() - begun) / repeats)
    return operations / best / 1e9


class Peak:
    """The fastest product of a precision, found once and measured again at every turn of a comparison."""

    def __init__(self, precision: str, device: torch.device, quick: bool) -> None:
        self.precision, self.device = precision, device
        self.seconds = 0.02 if quick else 0.25
        shapes = FAVOURABLE[:1] if quick else FAVOURABLE
        self.by_shape = {shape: self._measure(shape) for shape in shapes}
        self.shape = max(self.by_shape, key=lambda shape: self.by_shape[shape])

    def _measure(self, shape: tuple[int, int, int]) -> float:
        return speed(multiply(shape, self.precision, self.device), 2.0 * shape[0] * shape[1] * shape[2], self.seconds)

    def again(self) -> float:
        return self._measure(self.shape)


def limits(device: torch.device, quick: bool) -> Section:
    """Matrix products at favourable sizes and at the network's own."""
    section = Section("The machine's limit: matrix products, GFLOP/s")
    peaks = {precision: Peak(precision, device, quick) for precision in PRECISIONS}
    for shape in peaks["float32"].by_shape:
        speeds = {precision: peak.by_shape[shape] for precision, peak in peaks.items()}
        section.rows.append({"product": "favourable", "stack": 1, "size": _size(shape), **speeds})
    for batch in (64, 256):
        for stack in (1, 16):
            for width, out in WIDTHS:
                shape, operations = (batch, width, out), 2.0 * stack * batch * width * out
                speeds = {
                    p: speed(multiply(shape, p, device, stack if stack > 1 else 0), operations, 0.4 * peak.seconds)
                    for p, peak in peaks.items()
                }
                section.rows.append(
                    {"product": f"forward, batch {batch}", "stack": stack, "size": _size(shape), **speeds}
                )
    section.notes.append(f"{torch.get_num_threads()} threads; the fastest of repeated timings.")
    section.raw["peak"] = {p: max(peak.by_shape.values()) for p, peak in peaks.items()}
    section.raw["median"] = {p: statistics.median(peak.by_shape.values()) for p, peak in peaks.items()}
    return section


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def usual_operations(ours: Prepared) -> float:
    """Floating-point operations of a training step on one record as they are usually counted: three forward passes.

    That is 6 a weight in a dense layer, and counts a gradient by the records too, which nobody takes.
    """
    module = ours.model.make()
    x, _ = arrays_of(ours, ours.shadow_job(0).rows[:16])
    with FlopCounterMode(display=False) as counter:
        module(torch.from_numpy(x))
    return 3.0 * float(counter.get_total_flops()) / len(x)
