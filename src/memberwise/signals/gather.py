"""Train block after block, keep each block's signals on disk, and join them: killed at any moment, resumed the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from memberwise.signals.ask import collect, take_seconds
from memberwise.signals.collectors import collector_key
from memberwise.signals.questions import Asked
from memberwise.signals.table import Answers
from memberwise.store.blocks import Arrays, BlockStore, block_key, block_name
from memberwise.training.engines.base import Engine, ProcessEngine
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
        asking: of all these seconds, those that collectors asked for label-only and other attacks of theirs.
        trained: models trained in this process; ``resumed``: models read from blocks.
        notes: what was wrong with blocks, as (code, message).
        interrupted: Ctrl-C ended it early.
    """

    arrays: Arrays = field(default_factory=dict)
    seconds: float = 0.0
    earlier: float = 0.0
    asking: float = 0.0
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
        while True:
            number += 1
            work = _Block(block_name(number), first, asked, identity, jobs.job)
            stored = store.matching(work.name, first, work.key)
            size = jobs.next_size(first, result, stored)
            if not size:
                break
            parts.append(_one_block(engine, work, size, stored, store, progress, result))
            first += size
            progress.start(jobs.expected(result.trained, result.seconds), first)
            progress.update(first)
    except KeyboardInterrupt:
        result.interrupted = True
    progress.stop()
    if parts:
        result.arrays = join(parts, vector_models(len(asked.audited), asked.classes, first))
    return result


@dataclass(frozen=True)
class _Block:
    """A block that begins with model ``first``."""

    name: str
    first: int
    asked: Asked
    identity: dict[str, Any]
    job: Callable[[int], Job]

    @property
    def vectors(self) -> bool:
        """Full answers are kept."""
        most = vector_models(len(self.asked.audited), self.asked.classes, VECTOR_MODELS)
        return self.first < min(VECTOR_MODELS, most)

    def key(self, number: int) -> str:
        """Of one model: everything that its arrays depend on."""
        return block_key(job=describe_job(self.job(number)), vectors=self.vectors, **self.identity)


def _one_block(
    engine: Engine, work: _Block, size: int, stored: int, store: BlockStore, progress: Progress, result: Gathered
) -> Arrays:
    """The arrays of ``size`` models, read where all of them are ``stored``, else trained."""
    arrays, problem = None, store.stale(work.name) if work.name in store.manifest and not stored else None
    if stored >= size:
        arrays, problem = store.load_first(work.name, size)
    if arrays is not None and (lacks := lacking(arrays, work.asked, work.first)):
        arrays, problem = None, f"{store.folder / work.name}.npz holds no {lacks}, which an attack needs"
    if problem is not None:
        result.notes.append(("block-trained-again", f"{problem}; its models are trained again"))
    if arrays is not None:
        result.resumed += size
        result.earlier += store.seconds(work.name, size)
        result.asking += store.seconds(work.name, size, "asking")
        return arrays
    begun = time.perf_counter()
    numbers = range(work.first, work.first + size)
    jobs = [work.job(k) for k in numbers]
    by_seed = {job.seed: k for job, k in zip(jobs, numbers, strict=True)}
    asking = partial(collect, asked=work.asked, vectors=work.vectors, numbers=by_seed)
    arrays = engine.run(jobs, asking, partial(_tell, progress, work.first, size))
    took = time.perf_counter() - begun
    workers = engine.plan.threads if isinstance(engine, ProcessEngine) else 1
    extra = min(took, take_seconds(arrays) / workers)
    store.save(work.name, [work.key(k) for k in numbers], numbers, arrays, took, extra)
    result.seconds += took
    result.asking += extra
    result.trained += size
    return arrays


def lacking(arrays: Arrays, asked: Asked, first: int = -1) -> str:
    """What collectors are to gather and a block does not hold, by name; empty where it holds all.

    ``first``: number of the block's first model, -1 the target.
    """
    return ", ".join(
        f"answers of the collector {collector.name!r} as now asked for"
        for collector in asked.extras
        if first < asked.models_of(collector)
        and (arrays.get(f"extra.{collector.name}", [""])[0] != collector_key(collector))
    )


class Jobs(Protocol):
    """Which models come next."""

    def job(self, k: int) -> Job:
        """The job of the k-th shadow model."""
        ...

    def next_size(self, first: int, so_far: Gathered, stored: int) -> int:
        """How many models the block has that begins with model ``first``; 0 at the end.

        ``stored``: how many models the run folder holds from there on; a run keeps to the blocks that it has.
        """
        ...

    def expected(self, trained: int, seconds: float) -> int:
        """How many models there will be, as far as one can tell."""
        ...


@dataclass(frozen=True)
class Counted:
    """A fixed number of shadow models, ``block`` at a time."""

    job: Callable[[int], Job]
    count: int
    block: int

    def next_size(self, first: int, so_far: Gathered, stored: int) -> int:
        return min(stored or self.block, self.count - first)

    def expected(self, trained: int, seconds: float) -> int:
        return self.count


@dataclass
class Budgeted:
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

    def next_size(self, first: int, so_far: Gathered, stored: int) -> int:
        if stored:
            return stored  # read in no time
        each = so_far.seconds / so_far.trained if so_far.trained else self.guess
        fit = int((self.ends - time.perf_counter()) / each) // 2 * 2
        if first == 0:
            fit = max(fit, 2)
        # A last block that is nearly full takes about as long as a full one; a stub of one takes longer a model.
        size = self.block if fit >= self.block else int(fit * 0.9) // 2 * 2 if first else fit
        return max(size, 0)

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
