"""Ray beside the local engine, on one machine: throughput, start-up, bytes a model, memory, and where it saturates.

``python benchmarks/cluster.py [--tiny]``: made-up records and an MLP; ratios within one run, each point the best of
three turns. The figures are kept in ``benchmarks/results/cluster.json`` (``--tiny``, which shows only that it runs: in
``--out`` alone), and ``--write-docs`` puts the kept ones, and the picture, into ``docs/cluster.md`` without measuring.
The last part is a model, not a measurement: models per second of 1 to 1,000 workers as the measured constants allow.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cluster_page
import numpy as np
import torch
from cluster_memory import data_in_memory
from driver_memory import carry_out

from memberwise.models.modules import ARCHITECTURES
from memberwise.models.network import Network
from memberwise.models.processors import processor_name
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
ATTACKS = ["lira-online-fixed", "rmia-online", "base", "attack-r"]
KEPT = Path(__file__).parent / "results" / "cluster.json"


@dataclass(frozen=True)
class Size:
    """Of one run: models of a stack, models in all at each point, and turns.

    Attributes:
        data: records and features of the measurement of memory. attacked: shadow models by which attacks are timed.
    """

    records: int
    features: int
    hidden: tuple[int, ...]
    epochs: int
    stack: int
    models: int
    turns: int
    data: tuple[int, int]
    attacked: int


FULL = Size(4000, 784, (200, 200), 10, 4, 48, 3, (50_000, 3_072), 256)
TINY = Size(200, 20, (8,), 1, 2, 12, 1, (5_000, 1_000), 16)


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
    """All constants, in one run; rates count from the first block, when workers have started."""
    two, one = Work.of(size, 2), Work.of(size, 1)
    local = best(size, two, "local", 1)
    with ray_of(2) as started:
        _, first, _ = two.run("ray", 2 * size.stack)
        wide = best(size, two, "ray", 1)
        one.run("ray", 4 * size.stack)  # the second worker starts
        both = best(size, one, "ray", 2)
    with ray_of(1):
        single = best(size, one, "ray", 1)
    with ray_of(4):
        memory = data_in_memory(*size.data)
    parcel = pack((two.trainer, SignalCollection(two.questions)))
    sent = len(pack([two.job(k) for k in range(size.stack)]).letter.content) / size.stack
    return {
        "models/s local, two threads": local,
        "models/s ray, one worker of two threads": wide,
        "models/s ray, two workers of one thread": both,
        "models/s ray, one worker of one thread": single,
        "ratio one worker / local": wide / local,
        "ratio two workers / one": both / single,
        "seconds to start Ray": started,
        "seconds to the first block": first,
        "bytes to a node, once": float(parcel.nbytes),
        "bytes to a worker, a model": sent,
        **driver_constants(two),
        "attacks' seconds a model": attack_seconds(size),
        **memory,
    }


def best(size: Size, work: Work, engine: str, workers: int) -> float:
    """Models per second, of the fastest of several turns: others' work only ever makes one slower."""
    seconds = min(work.run(engine, size.models)[2] for _ in range(size.turns))
    return (size.models - workers * size.stack) / seconds


def attack_seconds(size: Size) -> float:
    """Seconds by which one shadow model more makes the attacks longer."""
    seconds = []
    for models in (size.attacked, 2 * size.attacked):
        with tempfile.TemporaryDirectory() as folder:
            seconds.append(carry_out(models, size.records, ATTACKS, "none", Path(folder))["assess"])
    return max(seconds[1] - seconds[0], 0.0) / size.attacked


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--bandwidth", type=float, default=125e6, help="bytes a second into the driver: 1 Gbit/s")
    parser.add_argument("--out", type=Path, help="keep the figures here instead")
    parser.add_argument("--write-docs", action="store_true", help="measure nothing: put what is kept into the page")
    parser.add_argument("--docs", type=Path, default=cluster_page.DOCS, help="the folder of the page")
    options = parser.parse_args()
    file = options.out or (None if options.tiny else KEPT)
    if options.write_docs:
        cluster_page.write(json.loads((file or KEPT).read_text()), options.docs)
        return
    kept = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": processor_name("cpu"),
        "tiny": options.tiny,
        "bandwidth": options.bandwidth,
        "constants": measure(TINY if options.tiny else FULL),
    }
    for name, value in kept["constants"].items():
        print(f"{name:45s} {value:12.4g}")
    for line in cluster_page.saturation_lines(kept):
        print(line)
    if file is not None:
        file.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
