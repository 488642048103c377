"""Train block after block, keep each block's signals on disk, and join them: killed at any moment, resumed the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from memberwise.signals.collect import Asked, collect
from memberwise.signals.collectors import collector_key
from memberwise.signals.table import Answers
from memberwise.training.blocks import Arrays, BlockStore, block_key, block_name
from memberwise.training.engines import Engine
from memberwise.training.job import Job
from memberwise.training.step import describe

# Full answers are kept of the first shadow models only: attack models need no more rows, and disks are finite.
VECTOR_MODELS = 16
VECTOR_BYTES = 256_000_000


class Progress(Protocol):
    """Told how many shadow models are done."""

    def start(self, total: int, done: int) -> None: ...
    def update(self, done: float) -> None: ...
    def stop(self) -> None: ...


@dataclass
class Gathered:
    """The shadow models' arrays joined over blocks, and how they were had.

    Attributes:
        arrays: as ``collect`` gives them, model first; ``audited.vectors`` holds the first models only.
        seconds: spent on training and asking, in this process; ``earlier``: for the models read from blocks.
        trained: models trained in this process; ``resumed``: models read from blocks.
        notes: what was wrong with blocks, as (code, message).
        interrupted: Ctrl-C ended it early.
    """

    arrays: Arrays = field(default_factory=dict)
    seconds: float = 0.0
    earlier: float = 0.0
    trained: int = 0
    resumed: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def count(self) -> int:
        """How many shadow models there are."""
        return self.trained + self.resumed


def vector_models(records: int, classes: int, count: int) -> int:
    """Of how many first shadow models full answers are kept."""
    return min(count, VECTOR_MODELS, max(2, VECTOR_BYTES // max(1, records * classes * 4)))


def gather(
    engine: Engine,
    jobs: Jobs,
    asked: Asked,
    store: BlockStore,
    identity: dict[str, Any],
    progress: Progress,
) -> Gathered:
    """Train and ask shadow models, block by block; blocks that are there under the same key are read instead.

    Interrupted (Ctrl-C), it gives what is there and says so in ``interrupted``.

    Args:
        jobs: which block of jobs comes next.
        identity: everything a block depends on beside its jobs (data, code, plan, queries ...).
    """
    result = Gathered()
    parts: list[Arrays] = []
    first = number = 0
    progress.start(jobs.expected(0, 0.0), 0)
    try:
        while block := jobs.next_block(first, result, store.models(block_name(number + 1))):
            number += 1
            arrays = _one_block(engine, block, first, number, asked, store, identity, progress, result)
            parts.append(arrays)
            first += len(block)
            progress.start(jobs.expected(result.trained, result.seconds), first)
            progress.update(first)
    except KeyboardInterrupt:
        result.interrupted = True
    progress.stop()
    if parts:
        result.arrays = join(parts, vector_models(len(asked.audited), asked.classes, first))
    return result


def _one_block(
    engine: Engine,
    block: Sequence[Job],
    first: int,
    number: int,
    asked: Asked,
    store: BlockStore,
    identity: dict[str, Any],
    progress: Progress,
    result: Gathered,
) -> Arrays:
    vectors = first < VECTOR_MODELS and first < vector_models(len(asked.audited), asked.classes, VECTOR_MODELS)
    key = block_key(jobs=[describe_job(job) for job in block], vectors=vectors, **identity)
    arrays, problem = store.load(block_name(number), key)
    if arrays is not None and (lacks := lacking(arrays, asked, first)):
        arrays, problem = None, f"{store.folder / block_name(number)}.npz holds no {lacks}, which an attack needs"
    if problem is not None:
        result.notes.append(("block-trained-again", f"{problem}; its models are trained again"))
    if arrays is not None:
        result.resumed += len(block)
        result.earlier += store.seconds(block_name(number))
        return arrays
    begun = time.perf_counter()
    numbers = {job.seed: first + i for i, job in enumerate(block)}
    asking = partial(collect, asked=asked, vectors=vectors, numbers=numbers)
    arrays = engine.run(block, asking, partial(_tell, progress, first, len(block)))
    took = time.perf_counter() - begun
    store.save(block_name(number), key, range(first, first + len(block)), arrays, took)
    result.seconds += took
    result.trained += len(block)
    return arrays


def lacking(arrays: Arrays, asked: Asked, first: int = -1) -> str:
    """What collectors are to gather and a block does not hold, by name; empty where it holds all.

    ``first``: number of the block's first model, -1 the target.
    """
    return ", ".join(
        f"answers of the collector {collector.name!r} as now asked for"
        for collector in asked.extras
        if first < collector.most_models
        and (arrays.get(f"extra.{collector.name}", [""])[0] != collector_key(collector))
    )


class Jobs(Protocol):
    """Which jobs come next."""

    def next_block(self, first: int, so_far: Gathered, stored: Sequence[int] | None) -> Sequence[Job]:
        """The jobs of the block that begins with model ``first``; empty at the end.

        ``stored``: numbers of the models that the run folder holds under this block's name, if it does.
        """
        ...

    def expected(self, trained: int, seconds: float) -> int:
        """How many models there will be, as far as one can tell."""
        ...


@dataclass(frozen=True)
class Counted:
    """A fixed number of shadow models, ``block`` at a time."""

    jobs: Sequence[Job]
    block: int

    def next_block(self, first: int, so_far: Gathered, stored: Sequence[int] | None) -> Sequence[Job]:
        return self.jobs[first : first + self.block]

    def expected(self, trained: int, seconds: float) -> int:
        return len(self.jobs)


@dataclass
class Budgeted:
    """As many pairs of shadow models as fit the time that is left; planned anew before each block.

    Attributes:
        make: job of the k-th shadow model.
        block: models at once.
        ends: ``time.perf_counter()`` at which training and asking must be done.
        guess: seconds a model is expected to take, before the first block tells.
    """

    make: Callable[[int], Job]
    block: int
    ends: float
    guess: float

    def next_block(self, first: int, so_far: Gathered, stored: Sequence[int] | None) -> Sequence[Job]:
        if stored is not None and list(stored) == list(range(first, first + len(stored))):
            # A run that is continued keeps its blocks, as long as these are the models whose turn it is.
            return [self.make(k) for k in stored]
        each = so_far.seconds / so_far.trained if so_far.trained else self.guess
        fit = int((self.ends - time.perf_counter()) / each) // 2 * 2
        if first == 0:
            fit = max(fit, 2)
        # A last block that is nearly full takes about as long as a full one; a stub of one takes longer a model.
        size = self.block if fit >= self.block else int(fit * 0.9) // 2 * 2 if first else fit
        return [self.make(k) for k in range(first, first + max(size, 0))]

    def expected(self, trained: int, seconds: float) -> int:
        each = seconds / trained if trained else self.guess
        return trained + max(0, int((self.ends - time.perf_counter()) / each)) // 2 * 2


def answers_of(arrays: Arrays, prefix: str) -> Answers | None:
    """The ``Answers`` under a prefix ("audited", "population") of a block's arrays."""
    if f"{prefix}.log_p" not in arrays:
        return None
    extra = f"{prefix}.extra."
    return Answers(
        arrays[f"{prefix}.log_p"],
        arrays[f"{prefix}.log_1mp"],
        arrays[f"{prefix}.correct"],
        arrays.get(f"{prefix}.vectors"),
        arrays["kind"][0].item(),
        extra={name.removeprefix(extra): values for name, values in arrays.items() if name.startswith(extra)},
        saturated=float(arrays["saturated"].mean()),
    )


def describe_job(job: Job) -> dict[str, Any]:
    """What a job is, as plain values with its arrays hashed: part of a block's key."""
    arrays = {"rows": job.rows, "targets": job.targets, "validation": job.validation, "reference": job.reference}
    arrays |= {f"init.{name}": value for name, value in (job.init or {}).items()}
    hashed = {
        name: hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        for name, value in arrays.items()
        if value is not None
    }
    procedure = None if job.procedure is None else describe(job.procedure)
    return {**hashed, "seed": job.seed, "recipe": vars(job.recipe), **describe(job.step), "procedure": procedure}


def _tell(progress: Progress, first: int, size: int, share: float) -> None:
    progress.update(first + share * size)


def join(parts: Sequence[Arrays], vectors: int = VECTOR_MODELS) -> Arrays:
    """The arrays of several blocks as one; full answers of the first ``vectors`` models."""
    names = parts[0].keys()
    joined = {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
    for name in ("audited.vectors", "auxiliary.vectors"):
        if name in joined:
            joined[name] = joined[name][:vectors]
    return joined
