"""How often the data are in memory where four workers of one node train on them: Linux's own count of shared pages."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from memberwise.models.modules import ARCHITECTURES
from memberwise.models.network import Network
from memberwise.study.engine import EngineConfig, RayConfig
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.targets.base import Target
from memberwise.training.engines.base import Block
from memberwise.training.engines.ray import RayEngine
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer
from memberwise.types.arrays import Array, Arrays

CPU = torch.device("cpu")
KINDS = ("Pss_Shmem", "Shared", "Anonymous")
WAIT = 300.0


def pages() -> dict[str, int]:
    """Bytes of this process: its part of shared memory, shared memory that it maps, and what is its own."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    mapped = sum(
        int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "RssShmem" in line
    )
    return {
        "Pss_Shmem": 1024 * kilobytes["Pss_Shmem"],
        "Shared": 1024 * mapped,
        "Anonymous": 1024 * kilobytes["Anonymous"],
    }


@dataclass(frozen=True, eq=False)
class Looking:
    """Reads every record, waits for the other workers, and tells what of memory this one has.

    Attributes:
        folder: where each says that it is there.
    """

    x: Array
    folder: str
    workers: int

    def __call__(self, models: Target, jobs: Sequence[Job], numbers: Mapping[int, int], vectors: bool) -> Arrays:
        total = int(self.x.sum(dtype=np.int64))
        (Path(self.folder) / f"at-{jobs[0].seed}").touch()
        until = time.monotonic() + WAIT
        while len(list(Path(self.folder).glob("at-*"))) < self.workers and time.monotonic() < until:
            time.sleep(0.05)
        found = pages()
        (Path(self.folder) / f"seen-{jobs[0].seed}").touch()
        while len(list(Path(self.folder).glob("seen-*"))) < self.workers and time.monotonic() < until:
            time.sleep(0.05)  # none lets go before all have looked
        return {name: np.full(len(jobs), found[name]) for name in KINDS} | {"sum": np.full(len(jobs), total)}


def data_in_memory(records: int, features: int, workers: int = 4) -> dict[str, float]:
    """Megabytes, with that many uint8 records on one node and that many workers; Ray must run with so many CPUs."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (records, features), np.uint8), rng.integers(0, 10, records)
    network = Network(lambda: ARCHITECTURES["mlp"].make(ModelConfig(hidden=(16,)), (features,), 10), CPU)
    trainer = StackTrainer(network, DataTensors.of(x, y, 10, CPU), Plan(2, "float32", 1))
    recipe = Recipe.of(TrainingConfig(epochs=1))
    with tempfile.TemporaryDirectory() as folder:
        config = EngineConfig(name="ray", ray=RayConfig(in_flight=workers))
        engine = RayEngine(trainer, Looking(x, folder, workers), lambda block, share: None, config)
        done = []
        for number in range(workers):
            jobs = tuple(Job(rng.permutation(records)[:512], Step(), recipe, 2 * number + k) for k in range(2))
            done += list(engine.submit(Block(number + 1, 2 * number, jobs)))
        done += list(engine.drain())
        engine.close()
    if any(int(arrays["sum"][0]) != int(x.sum(dtype=np.int64)) for _, arrays in done):
        raise ValueError("a worker read other records")
    each = {name: [float(arrays[name][0]) for _, arrays in done] for name in KINDS}
    mega = 1e6
    return {
        "MB of data": x.nbytes / mega,
        "workers on the node": float(len(done)),
        "MB shared, as each worker maps it": max(each["Shared"]) / mega,
        "MB shared, all workers' parts together": sum(each["Pss_Shmem"]) / mega,
        "MB of a worker's own, at most": max(each["Anonymous"]) / mega,
    }
