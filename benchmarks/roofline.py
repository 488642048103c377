"""How near a step of the MLP comes to what the machine allows: its operations and bytes, products and bandwidth."""

from __future__ import annotations

import time
from typing import Any

import torch
from limits import WIDTHS, multiply, speed
from results import Section, spread
from workload import Workload, synchronise

from memberwise.auditing.prepare import Prepared
from memberwise.training.pace import step_timer

# Bytes a parameter that a step cannot do without, however it is written: float32 parameter and momentum are read and
# written, the bfloat16 copy is written once and read by the forward and the backward product, the gradient (as the
# product leaves it, in bfloat16) is written and read.
BYTES = 4 * 4 + 3 * 2 + 2 * 2
BEYOND_CACHES = 256_000_000


def bandwidth(size: int, device: torch.device, seconds: float) -> float:
    """GB/s of adding one array to another in place, ``size`` bytes in all: the fastest of repeated timings."""
    a, b = torch.zeros((2, max(1, size // 8)), device=device)
    moved, best, until = 3 * a.numel() * 4, float("inf"), time.perf_counter() + seconds
    repeats = max(1, int(2e7 / size))
    while time.perf_counter() < until:
        synchronise()
        begun = time.perf_counter()
        for _ in range(repeats):
            a.add_(b)
        synchronise()
        best = min(best, (time.perf_counter() - begun) / repeats)
    return float(moved / best / 1e9)


def products(batch: int, stack: int, device: torch.device, seconds: float) -> float:
    """Seconds that the matrix products of one model's step take by themselves, at their own sizes in bfloat16."""
    total = 0.0
    for place, (width, out) in enumerate(WIDTHS):
        # Forward, the gradient by the weights and, but for the first layer, that by its input.
        shapes = [(batch, width, out), (out, batch, width), *([(batch, out, width)] if place else [])]
        for shape in shapes:
            operations = 2.0 * stack * shape[0] * shape[1] * shape[2]
            reached = speed(multiply(shape, "bfloat16", device, stack), operations, seconds)
            total += operations / stack / (reached * 1e9)
    return total


def roofline(workloads: list[Workload], device: torch.device, quick: bool) -> Section:
    """One row a batch size: the limits of products and of memory, and the step beside them."""
    section = Section("The MLP's step and the machine's limits, microseconds a model")
    seconds = 0.01 if quick else 0.2
    for workload in workloads:
        ours = workload.prepare(64)
        steps, stack = _steps(ours, 1 if quick else 9), ours.plan.stack
        parameters = sum(value.numel() for value in ours.model.make().parameters())
        own = products(workload.batch, stack, device, seconds)
        moved = BYTES * parameters
        held = bandwidth(12 * parameters * stack, device, seconds)  # parameters, momentum, copy, gradient
        memory = bandwidth(1_000_000 if quick else BEYOND_CACHES, device, seconds)
        bound = own + moved / held / 1e9
        section.rows.append(
            {
                "batch": workload.batch,
                "stack": stack,
                "step": spread([1e6 * one for one in steps]),
                "its products alone": 1e6 * own,
                "its bytes, as cached": moved / held / 1e3,
                "its bytes, from memory": moved / memory / 1e3,
                "products and cached bytes, share of the step": spread([bound / one for one in steps]),
            }
        )
        section.notes.append(
            f"Batch {workload.batch}: {parameters:,} parameters, {moved / 1e6:.2f} MB a step at {BYTES} bytes each; "
            f"{held:.0f} GB/s within the {12 * parameters * stack / 1e6:.1f} MB of a stack, {memory:.0f} GB/s beyond "
            f"the caches. Compiled: {ours.plan.compile}, {ours.plan.precision}."
        )
        section.raw[str(workload)] = {"steps": steps, "products": own, "bytes": moved, "GB/s": [held, memory]}
    return section


def _steps(ours: Prepared, turns: int) -> list[float]:
    """Seconds of a step of one model, by the plan."""
    trainer: Any = ours.trainer
    timed = step_timer(ours.plan, trainer.network, trainer.data, ours.shadow_job(0))
    return [timed() for _ in range(turns)]
