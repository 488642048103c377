"""Ray beside the local engine, on one machine: throughput, start-up, bytes a model, and where a cluster saturates.

``python benchmarks/cluster.py [--tiny]``: made-up records and an MLP; ratios within one run. ``--tiny`` shows only that
it runs. The last table is a model, not a measurement: models per second of 1 to 1,000 workers as the measured constants
allow, and what stops them: the workers, what the driver receives and writes, or the attacks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.models.modules import ARCHITECTURES
from memberwise.models.network import Network
from memberwise.signals.collection import SignalCollection
from memberwise.signals.gather import gather
from memberwise.signals.progress import Silent
from memberwise.signals.questions import Questions
from memberwise.signals.schedule import FixedCount, ShadowRun
from memberwise.store.blocks import BlockStore
from memberwise.study.engine import EngineConfig
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.training.engines.parcel import pack
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer

STORE = 500 * 2**20
CPU = torch.device("cpu")
WORKERS = (1, 3, 10, 30, 100, 300, 1000)


@dataclass(frozen=True)
class Size:
    """Of one run: models of a stack, and models in all at each point."""

    records: int
    features: int
    hidden: tuple[int, ...]
    epochs: int
    stack: int
    models: int


FULL, TINY = Size(4000, 784, (200, 200), 10, 4, 48), Size(200, 20, (8,), 1, 2, 12)


@dataclass(frozen=True)
class Work:
    """The models of a run, by any engine."""

    size: Size
    trainer: StackTrainer
    questions: Questions

    @classmethod
    def of(cls, size: Size, threads: int) -> Work:
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(size.records, size.features)).astype(np.float32), rng.integers(0, 10, size.records)
        config, shape = ModelConfig(hidden=size.hidden), (size.features,)
        network = Network(lambda: ARCHITECTURES["mlp"].make(config, shape, 10), CPU)
        rows, nobody = np.arange(size.records), np.arange(0)
        questions = Questions(x, y, 10, rows, nobody, rows[:100], nobody)
        plan = Plan(size.stack, "float32", threads)
        return cls(size, StackTrainer(network, DataTensors.of(x, y, 10, CPU), plan), questions)

    def job(self, k: int) -> Job:
        recipe = Recipe.of(TrainingConfig(epochs=self.size.epochs))
        half = np.random.default_rng(k // 2).permutation(self.size.records).reshape(2, -1)[k % 2]
        return Job(np.sort(half), Step(), recipe, k)

    def run(self, engine: str, models: int) -> tuple[ShadowRun, float, float]:
        """The run; seconds until its first block was there; seconds of the rest."""
        with tempfile.TemporaryDirectory() as folder:
            watch = First()
            begun = time.perf_counter()
            jobs = FixedCount(self.job, models, self.size.stack)
            done = gather(
                self.trainer, jobs, self.questions, BlockStore(Path(folder)), {}, watch, EngineConfig(name=engine)
            )
            return done, watch.first - begun, time.perf_counter() - watch.first


class First(Silent):
    """When the first block came back."""

    first = 0.0

    def update(self, done: float) -> None:
        self.first = self.first or (time.perf_counter() if done >= 1 else 0.0)


@contextmanager
def ray_of(cpus: int) -> Iterator[float]:
    """A Ray of this machine with so many CPUs; gives the seconds that its start took."""
    import ray

    begun = time.perf_counter()
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
    ray.init(address="local", num_cpus=cpus, object_store_memory=STORE, **quiet)
    try:
        yield time.perf_counter() - begun
    finally:
        ray.shutdown()


def measure(size: Size) -> dict[str, float]:
    """All constants, each of one run; rates count from the first block, when workers have started."""
    two, one = Work.of(size, 2), Work.of(size, 1)
    models = size.models
    rate: dict[str, float] = {}
    _, _, seconds = two.run("local", models)
    rate["local, two threads"] = (models - size.stack) / seconds
    with ray_of(2) as started:
        _, first, seconds = two.run("ray", models)
        rate["ray, one worker of two threads"] = (models - size.stack) / seconds
        one.run("ray", 4 * size.stack)  # the second worker starts
        _, _, seconds = one.run("ray", models)
        rate["ray, two workers of one thread"] = (models - 2 * size.stack) / seconds
    with ray_of(1):
        _, _, seconds = one.run("ray", models)
        rate["ray, one worker of one thread"] = (models - size.stack) / seconds
    parcel = pack((two.trainer, SignalCollection(two.questions)))
    sent = len(pack([two.job(k) for k in range(size.stack)]).letter.content) / size.stack
    return {f"models/s {name}": value for name, value in rate.items()} | {
        "ratio one worker / local": rate["ray, one worker of two threads"] / rate["local, two threads"],
        "ratio two workers / one": rate["ray, two workers of one thread"] / rate["ray, one worker of one thread"],
        "seconds to start Ray": started,
        "seconds to the first block": first,
        "bytes to a node, once": float(parcel.nbytes),
        "bytes to a worker, a model": sent,
        **driver_constants(two),
    }


def driver_constants(work: Work) -> dict[str, float]:
    """What the driver does with one model: bytes that it receives, seconds to copy, hash and write them."""
    done, _, _ = work.run("local", work.size.stack)
    arrays = done.arrays
    received = sum(array.nbytes for array in arrays.values()) / work.size.stack
    with tempfile.TemporaryDirectory() as folder:
        store, begun = BlockStore(Path(folder)), time.perf_counter()
        for number in range(8):
            copies = {name: array.copy() for name, array in arrays.items()}
            store.save(f"block-{number:05d}", ["key"] * work.size.stack, range(work.size.stack), copies)
        seconds = (time.perf_counter() - begun) / 8 / work.size.stack
    return {"bytes to the driver, a model": received, "driver's seconds a model": seconds}


def saturation(constants: Mapping[str, float], bandwidth: float) -> list[tuple[int, float, str]]:
    """Models per second by so many workers, and what bounds them; ``bandwidth``: bytes a second into the driver."""
    worker = constants["models/s ray, one worker of two threads"]
    bounds = {
        "network": bandwidth / constants["bytes to the driver, a model"],
        "gather": 1 / constants["driver's seconds a model"],
    }
    rows = []
    for workers in WORKERS:
        limits = {"workers": workers * worker, **bounds}
        name = min(limits, key=lambda limit: limits[limit])
        rows.append((workers, limits[name], name))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--bandwidth", type=float, default=125e6, help="bytes a second into the driver: 1 Gbit/s")
    parser.add_argument("--out", type=Path, help="write the constants here as JSON")
    options = parser.parse_args()
    constants = measure(TINY if options.tiny else FULL)
    for name, value in constants.items():
        print(f"{name:45s} {value:12.4g}")
    for workers, rate, bound in saturation(constants, options.bandwidth):
        print(f"{workers:5d} workers {rate:10.1f} models/s, bounded by the {bound}")
    if options.out is not None:
        options.out.write_text(json.dumps(constants, indent=1) + "\n")


if __name__ == "__main__":
    main()
