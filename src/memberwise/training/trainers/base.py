"""What trains: many modules at once, or estimators one by one. Where that happens is an engine's business."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from memberwise.errors import Note
from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.training.loop import Tick
from memberwise.training.plan import Plan
from memberwise.types.arrays import Arrays

GENERAL_PATH = "general-path"
# Torch's random numbers and threads, and the pool of worker processes, are the whole process's.
ALONE = threading.RLock()
Collect = Callable[[Target, Sequence[Job]], Arrays]


@dataclass(frozen=True)
class TrainerFacts:
    """What is to be known of a trainer without knowing which one it is.

    Attributes:
        block: how many models a block holds.
        workers: how many models train, and are asked, side by side in processes of their own.
        by_steps: models train by the steps of their recipe, so that a few steps tell how long all of them take; else
            each is fitted as a whole.
        keeps_weights: the target's weights can be written to the run folder.
        threads: of this machine's processor that a block keeps busy.
        processor: name of what models train on. device: "cpu" or "cuda".
        parameters: trainable numbers of one model; None: not known.
        on_gpus: it may train on the GPU of another machine, whatever it trains on here.
    """

    block: int
    workers: int
    by_steps: bool
    keeps_weights: bool
    threads: int
    processor: str
    device: str
    parameters: int | None = None
    on_gpus: bool = False


@dataclass(frozen=True)
class Fit:
    """How a trainer does on the machine where it was measured.

    Attributes:
        processor: name of what models train on there. device: "cpu" or "cuda".
        plan: by which they train there: of the precision that the trainer has, so that figures agree.
        gpu_bytes: memory of a GPU that a block takes, and gpu_memory: of the GPU in all; 0 on a CPU.
    """

    processor: str
    device: str
    plan: Plan
    gpu_bytes: int = 0
    gpu_memory: int = 0


class Trainer(Protocol):
    """Trains jobs; it holds the data and the model, and can be sent to another process (by cloudpickle).

    In one process a trainer runs one call after another, whichever threads they come from.

    Attributes:
        notes: what was noticed while models trained, as (code, message). plan: by which they train.
    """

    @property
    def plan(self) -> Plan: ...

    @property
    def notes(self) -> list[Note]: ...

    def describe(self) -> TrainerFacts:
        """What is to be known of it."""
        ...

    def measure(self, job: Job, threads: int) -> Fit:
        """How it is to train on this machine, on so many threads at most: measured, where there is enough to do."""
        ...

    def under(self, plan: Plan, device: str) -> Trainer:
        """The same on a device of this machine, by this plan."""
        ...

    def train(self, jobs: Sequence[Job], tick: Tick | None = None) -> Target:
        """Train and keep the models (the target)."""
        ...

    def run(self, jobs: Sequence[Job], collect: Collect, tick: Tick | None = None) -> Arrays:
        """Train, collect arrays whose first dimension is the model, and let the models go."""
        ...


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Joined over models; what only the first ones were asked has them alone."""
    return {name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]}
