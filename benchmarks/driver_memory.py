"""How much memory the driver of a large run takes: made-up blocks gathered, attacked and evaluated.

``python benchmarks/driver_memory.py [--models 10000] [--records 100000] [--attacks default]``: blocks of 64 models as
an engine gives them, from a trainer that draws their signals instead of training; prints the peak memory of each
stage. What is mapped from files counts with what of it is in memory. ``--streamed``: as if no block had room, so that a
small run goes the way of a large one.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from memberwise.assess import assess
from memberwise.auditing.resolve import resolve
from memberwise.errors import Note
from memberwise.seeds import Seeds
from memberwise.signals import gather as gathering
from memberwise.signals import streamed
from memberwise.signals.codec import answers_of
from memberwise.signals.progress import Silent
from memberwise.signals.questions import Questions
from memberwise.signals.schedule import FixedCount
from memberwise.signals.table import Signals
from memberwise.store.blocks import BlockStore
from memberwise.study.reading import make_study
from memberwise.training.job import Job
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.trainers.base import TrainerFacts
from memberwise.types.arrays import Arrays

BLOCK, POPULATION, CLASSES = 64, 2000, 10
MEGABYTE = 2**20


class MadeUp:
    """A trainer of normal scaled logits: 1 higher for members, with spread 2."""

    notes: Sequence[Note] = ()

    def __init__(self, records: int) -> None:
        self.records = records

    def describe(self) -> TrainerFacts:
        return TrainerFacts(BLOCK, 1, by_steps=False, keeps_weights=False, threads=1, processor="none", device="cpu")

    def run(self, jobs: Sequence[Job], collect: Any, tick: Any = None) -> Arrays:
        parts = [signals(self.records, half(job.seed, self.records), job.seed) for job in jobs]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def half(seed: int, records: int) -> Any:
    """``(n,)``: which records a shadow model trained on; models of one pair are complementary."""
    return (np.random.default_rng(seed // 2).random(records) < 0.5) ^ bool(seed % 2)


def signals(records: int, members: Any, seed: int) -> Arrays:
    """The arrays of one model."""
    rng = np.random.default_rng(seed)
    phi = 2 * rng.standard_normal(records + POPULATION, np.float32)
    phi[:records] += members
    log_p, log_1mp = -np.logaddexp(0, -phi)[None, :, None], -np.logaddexp(0, phi)[None, :, None]
    arrays: Arrays = {"kind": np.array(["logits"]), "saturated": np.zeros(1), "remarks": np.array([""])}
    for name, part in (("audited", slice(records)), ("population", slice(records, None))):
        correct = phi[None, part, None] > 0
        arrays |= {f"{name}.log_p": log_p[:, part], f"{name}.log_1mp": log_1mp[:, part], f"{name}.correct": correct}
    return arrays | {"train_accuracy": np.ones(1), "test_accuracy": np.ones(1)}


class Peak:
    """Memory of this process, looked at twenty times a second."""

    def __init__(self) -> None:
        self.resident, self.anonymous = 0, 0
        self.seconds: dict[str, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            kilobytes = {name: int(lines[name].split()[0]) for name in ("VmRSS", "RssAnon")}
            self.resident = max(self.resident, kilobytes["VmRSS"] // 1024)
            self.anonymous = max(self.anonymous, kilobytes["RssAnon"] // 1024)
            time.sleep(0.05)

    @contextmanager
    def stage(self, name: str, to: TextIO | None = None) -> Any:
        self.resident = self.anonymous = 0
        time.sleep(0.1)
        begun = time.perf_counter()
        yield
        seconds = self.seconds[name] = time.perf_counter() - begun
        print(
            f"{name:9s} {self.resident:8,} MB resident, {self.anonymous:8,} MB of them no file's, {seconds:.0f} s",
            file=to,
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--attacks", default="default")
    parser.add_argument("--turns", default="none", help="as statistics.turns: none, all or so many models")
    parser.add_argument("--streamed", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.streamed:
        gathering.HELD = streamed.MAPPED = 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        carry_out(options.models, options.records, options.attacks.split(","), options.turns, Path(folder))


def carry_out(models: int, records: int, attacks: list[str], turns: str, folder: Path) -> dict[str, float]:
    """Gather, attack and evaluate; prints each stage, and gives its seconds."""
    rows = np.arange(records)
    recipe = Recipe.of(make_study({}, "").training)
    y = np.arange(records) % CLASSES
    questions = Questions(np.zeros((records, 1), np.float32), y, CLASSES, rows, rows[:0], rows[:0], rows[:0])
    jobs = FixedCount(lambda k: Job(rows[:1], Step(), recipe, k), models, BLOCK)
    peak = Peak()
    with peak.stage("gather"):
        run = gathering.gather(MadeUp(records), jobs, questions, BlockStore(folder), {}, Silent())  # type: ignore[arg-type]
    with peak.stage("table"):
        member, trained_on = half(2**32, records), np.empty((models, records), np.int8)
        for k in range(models):
            trained_on[k] = half(k, records)
        target = signals(records, member, 2**32)
        audited, shadows = answers_of(target, "audited"), answers_of(run.arrays, "audited")
        assert audited is not None
        world, of_world = answers_of(target, "population"), answers_of(run.arrays, "population")
        table = Signals(rows, y, audited, shadows, trained_on, population_target=world, population_shadows=of_world)
    values = {"attacks": {"use": attacks}, "shadow": {"count": models}, "statistics": {"turns": turns}}
    study = make_study(values, "driver_memory.py")
    with peak.stage("assess"):
        request = resolve(study).request
        made = assess(table, member, study, request, Seeds(0), [str(c) for c in range(CLASSES)])
    print(f"{models:,} models x {records:,} records: {len(made.attacks)} attacks, headline {made.headline}")
    return peak.seconds


if __name__ == "__main__":
    main()
