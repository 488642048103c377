"""Engines: where blocks of models are trained and asked, and how many of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from memberwise.errors import Note
from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.training.loop import Tick
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Arrays


@dataclass(frozen=True, eq=False)
class Block:
    """Models that are trained and asked together: data alone, which can be sent anywhere.

    Attributes:
        number: its place among the blocks of the run, from 1.
        first: number of its first shadow model, from 0.
        jobs: one for each model.
        vectors: full answers of its models are kept.
    """

    number: int
    first: int
    jobs: tuple[Job, ...]
    vectors: bool = False

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def models(self) -> range:
        """Numbers of its shadow models."""
        return range(self.first, self.first + len(self.jobs))

    @property
    def numbers(self) -> dict[int, int]:
        """From a job's seed to its shadow model's number."""
        return {job.seed: k for job, k in zip(self.jobs, self.models, strict=True)}


class Collection(Protocol):
    """What is collected from trained models: a frozen dataclass, which goes to a worker once, before its blocks."""

    def __call__(self, models: Target, jobs: Sequence[Job], numbers: Mapping[int, int], vectors: bool) -> Arrays:
        """Arrays whose first dimension is the model.

        Args:
            models: trained by ``jobs``, in this order.
            numbers: from a job's seed to its shadow model's number. vectors: full answers are kept.
        """
        ...


PROCESSOR = "processor"
# How far a block is, as a share of it.
BlockTick = Callable[[Block, float], None]
Done = tuple[Block, Arrays]


class Engine(Protocol):
    """Has blocks trained and asked, several at once if it can; they may come back in any order.

    A block that fails raises its error from ``submit`` or ``drain``. An engine is made by
    ``maker(trainer, collection, tick)`` and serves one run; it calls ``tick`` where it can, from any thread.

    Attributes:
        in_flight: so many blocks may be under way at once.
        notes: what went otherwise than planned (a worker lost, a block tried again), for the report.
        status: who works on what just now, in a few words, for whoever watches; "" where there is nothing to say.
    """

    @property
    def in_flight(self) -> int: ...

    @property
    def notes(self) -> Sequence[Note]: ...

    @property
    def status(self) -> str: ...

    def submit(self, block: Block) -> Iterator[Done]:
        """Begin a block; gives the blocks that are finished by then.

        It waits only where ``in_flight`` blocks are under way already. What it gives must be taken to the end.
        """
        ...

    def drain(self) -> Iterator[Done]:
        """Wait for all blocks under way; gives each when it is finished."""
        ...

    def close(self) -> list[Done]:
        """The run ends, perhaps early: gives what is finished and was not given yet, and lets go of all else."""
        ...


EngineMaker = Callable[[Trainer, Collection, BlockTick], Engine]


def run_block(trainer: Trainer, collection: Collection, block: Block, tick: Tick | None = None) -> Arrays:
    """Train and ask the models of one block, here and now: what an engine has each of its workers do.

    Under ``PROCESSOR`` stands beside a block's arrays what made them, for each model (``take_processor``).
    """
    arrays = trainer.run(block.jobs, partial(collection, numbers=block.numbers, vectors=block.vectors), tick)
    return {**arrays, PROCESSOR: np.full(len(block), trainer.describe().processor)}


def take_processor(arrays: Arrays) -> str:
    """The name of the processor that made a block, taken out of its arrays: no signal; "" where it is not known."""
    names = arrays.pop(PROCESSOR, None)
    return "" if names is None else str(names[0])
