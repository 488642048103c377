"""What is trained: a network, its data and recipe; and the one place where the benchmarks touch our engine."""

from __future__ import annotations

import functools
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from memberwise.auditing.prepare import Inputs, Prepared, prepare
from memberwise.auditing.resolve import resolve
from memberwise.data import Dataset, load
from memberwise.data.dataset import as_float
from memberwise.study.schema import PlanConfig, Study
from memberwise.targets.base import Target
from memberwise.training.job import Job

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Workload:
    """One network on one data set; ``records`` is what each model trains on."""

    data: str
    model: str
    records: int
    batch: int
    epochs: int
    schedule: str = "constant"
    device: str = "auto"
    defence: tuple[tuple[str, object], ...] = ()  # of ``training.defence``, by key

    def study(self, models: int) -> Study:
        return Study.model_validate(
            {
                "data": {"source": self.data, "members": self.records, "nonmembers": self.records},
                "model": {"name": self.model},
                "training": {
                    "epochs": self.epochs,
                    "batch_size": self.batch,
                    "schedule": self.schedule,
                    **({"defence": dict(self.defence)} if self.defence else {}),
                },
                "shadow": {"count": models + models % 2},
                "run": {"seed": 1, "device": self.device},
            }
        )

    def prepare(self, models: int, plan: PlanConfig | None = None) -> Prepared:
        """Our engine and the jobs; with the plan that an audit chooses for itself, or the one given."""
        plan = plan or plan_of(replace(self, epochs=20, schedule="constant"))
        return self._prepare(models, plan)

    def _prepare(self, models: int, plan: PlanConfig | None) -> Prepared:
        return prepare(resolve(self.study(models)), Inputs(dataset=records_of(self.data)), plan)

    def __str__(self) -> str:
        return f"{self.model} on {self.records:,} records of {self.data}, batch {self.batch}, {self.epochs} epochs"


@functools.cache
def plan_of(workload: Workload) -> PlanConfig:
    """The plan for an audit with 256 shadow models: measured in this run, not remembered from a busier hour.

    Few models for a few epochs, as are timed here, would not be worth a measurement, and get the safest plan.
    """
    records_of(workload.data)  # it may come from the same cache
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, XDG_CACHE_HOME=cache):
        return workload._prepare(256, None).plan.to_study()


@functools.cache
def records_of(name: str) -> Dataset:
    return load(name, progress=False)


def nothing(models: Target, jobs: Sequence[Job]) -> Arrays:
    """Collects nothing, so that training alone is timed."""
    return {"trained": np.ones(len(jobs))}


def train(ours: Prepared, jobs: Sequence[Job], collect: Callable[[Target, Sequence[Job]], Arrays] = nothing) -> Arrays:
    """Train jobs as an audit does, block by block; what is collected of each model comes back."""
    block = ours.trainer.describe().block
    blocks = [ours.trainer.run(jobs[first : first + block], collect) for first in range(0, len(jobs), block)]
    return {name: np.concatenate([arrays[name] for arrays in blocks]) for name in blocks[0]}


def jobs_of(ours: Prepared, count: int) -> list[Job]:
    """The first shadow models' jobs."""
    return [ours.shadow_job(k) for k in range(count)]


def whole_stacks(ours: Prepared, least: int) -> int:
    """The smallest number of models of at least ``least`` that fills the engine's blocks."""
    return math.ceil(least / ours.trainer.describe().block) * ours.trainer.describe().block


def arrays_of(ours: Prepared, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """float32 records in [0, 1] and their classes."""
    return as_float(ours.dataset.x[rows]), ours.dataset.y[rows]


def operations(ours: Prepared) -> float:
    """Floating-point operations of one training step on one record: what autograd computes, and no more.

    A rule of thumb, 6 per weight, would count a gradient with respect to the records, which nobody takes.
    """
    module: nn.Module = ours.model.make()
    x, y = arrays_of(ours, ours.shadow_job(0).rows[:16])
    with FlopCounterMode(display=False) as counter:
        functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    return float(counter.get_total_flops()) / len(x)


def plan_in_words(ours: Prepared) -> str:
    return ", ".join(f"{name} {value}" for name, value in vars(ours.plan).items())


def synchronise() -> None:
    """Wait for the accelerator, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
