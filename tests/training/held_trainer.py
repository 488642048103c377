"""A trainer that tells where it trains and waits there: as a local module, it travels to workers by its source."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.training.loop import Tick
from memberwise.training.trainers.base import Collect, Fit, TrainerFacts
from memberwise.training.trainers.stack import StackTrainer
from memberwise.types.arrays import Array, Arrays

WAIT = 250.0
FIRST = 100


class HeldTrainer(StackTrainer):
    """Blocks without the seed ``FIRST`` wait for the file ``go``; some seeds raise, or kill their worker once.

    Attributes:
        folder: where each block says, by a file, on which node it began.
        gpu_bytes: so much of a GPU of 16 GB its blocks would take, wherever a node says that it has one.
        best: the stack that it finds best on a worker where it is measured.
    """

    folder: str = ""
    raises: int = -1
    killed: int = -1
    gpu_bytes: int = 0
    best: int = 0

    def describe(self) -> TrainerFacts:
        return replace(super().describe(), on_gpus=bool(self.gpu_bytes))

    def measure(self, job: Job, threads: int) -> Fit:
        if self.gpu_bytes:
            return Fit("a declared GPU", "cuda", self.plan, self.gpu_bytes, 16 * 10**9)
        fit = super().measure(job, threads)
        return replace(fit, plan=replace(fit.plan, stack=self.best, stacked=self.best > 1)) if self.best else fit

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        seeds = [job.seed for job in jobs]
        if self.folder:
            self._wait(seeds)
        if self.raises in seeds:
            raise ValueError("this model cannot be trained")
        return super().run(jobs, collect, tick)

    def _wait(self, seeds: list[int]) -> None:
        folder = Path(self.folder)
        if self.killed in seeds and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"at-{_node()}-{seeds[0]}").touch()
        until = time.monotonic() + WAIT
        while FIRST not in seeds and not (folder / "go").exists() and time.monotonic() < until:
            time.sleep(0.05)


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else "here"


@dataclass(frozen=True, eq=False)
class Bulky:
    """Collects 20 MB a model, which depend on all that it was sent."""

    ballast: Array

    def __call__(self, models: Target, jobs: Sequence[Job], numbers: Mapping[int, int], vectors: bool) -> Arrays:
        total = int(self.ballast.sum(dtype=np.int64))
        return {"bulk": np.stack([np.arange(2_500_000.0) + total + job.seed for job in jobs])}
