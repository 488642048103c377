"""How many shadow models are trained, and what has been had of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from memberwise.errors import Note
from memberwise.training.job import Job
from memberwise.types.arrays import Arrays


@dataclass
class ShadowRun:
    """The shadow models' arrays joined over blocks, and how they were had.

    Attributes:
        arrays: as ``collect`` gives them, model first; ``audited.vectors`` holds the first models only.
        seconds: spent on training and asking, in this process; ``earlier``: for the models read from blocks.
        asking: of all these seconds, those that collectors asked for label-only and other attacks of theirs.
        trained: models trained in this process; ``resumed``: models read from blocks.
        under_way: models of blocks that are begun and not finished.
        notes: what was wrong with blocks, as (code, message).
        interrupted: Ctrl-C ended it early.
        processors: how many models each kind of processor made; "": blocks from before that was written down.
        at_once: blocks that may be under way at once.
        waited: seconds from the begin of each block to its end, summed; blocks under way together each count in full.
    """

    arrays: Arrays = field(default_factory=dict)
    seconds: float = 0.0
    earlier: float = 0.0
    asking: float = 0.0
    trained: int = 0
    resumed: int = 0
    under_way: int = 0
    notes: list[Note] = field(default_factory=list)
    interrupted: bool = False
    processors: Counter[str] = field(default_factory=Counter)
    at_once: int = 1
    waited: float = 0.0

    @property
    def count(self) -> int:
        """How many shadow models there are."""
        return self.trained + self.resumed


class Jobs(Protocol):
    """Which models come next."""

    def job(self, k: int) -> Job:
        """The job of the k-th shadow model."""
        ...

    def next_size(self, first: int, so_far: ShadowRun, stored: int) -> int:
        """How many models the block has that begins with model ``first``; 0 at the end.

        ``stored``: how many models the run folder holds from there on; a run keeps to the blocks that it has.
        """
        ...

    def expected(self, trained: int, seconds: float) -> int:
        """How many models there will be, as far as one can tell."""
        ...


@dataclass(frozen=True)
class FixedCount:
    """A fixed number of shadow models, ``block`` at a time."""

    job: Callable[[int], Job]
    count: int
    block: int

    def next_size(self, first: int, so_far: ShadowRun, stored: int) -> int:
        return min(stored or self.block, self.count - first)

    def expected(self, trained: int, seconds: float) -> int:
        return self.count


@dataclass
class TimeBudget:
    """As many pairs of shadow models as fit the time that is left; planned anew before each block.

    Attributes:
        job: of the k-th shadow model.
        block: models at once.
        ends: ``time.perf_counter()`` at which training and asking must be done.
        guess: seconds a model is expected to take, before the first block tells.
    """

    job: Callable[[int], Job]
    block: int
    ends: float
    guess: float

    def next_size(self, first: int, so_far: ShadowRun, stored: int) -> int:
        if stored:
            return stored  # read in no time
        each = so_far.seconds / so_far.trained if so_far.trained else self.guess / so_far.at_once
        fit = (int((self.ends - time.perf_counter()) / each) - so_far.under_way) // 2 * 2
        # Of blocks side by side, each takes longer than its share of the time.
        alone = so_far.waited / so_far.trained if so_far.trained else self.guess
        fit = min(fit, int((self.ends - time.perf_counter()) / max(alone, 1e-9)) // 2 * 2)
        if first == 0:
            fit = max(fit, 2)
        # A last block that is nearly full takes about as long as a full one; a stub of one takes longer a model.
        size = self.block if fit >= self.block else int(fit * 0.9) // 2 * 2 if first else fit
        return max(size, 0)

    def expected(self, trained: int, seconds: float) -> int:
        each = seconds / trained if trained else self.guess
        return trained + max(0, int((self.ends - time.perf_counter()) / each)) // 2 * 2
