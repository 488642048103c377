"""Train block after block, keep each block's signals on disk, and join them: killed at any moment, resumed the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from memberwise.signals.collect import Asked, collect
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
        seconds: spent on training and asking, in this process.
        trained: models trained in this process; ``resumed``: models read from blocks.
        notes: what was wrong with blocks, as (code, message).
    """

    arrays: Arrays = field(default_factory=dict)
    seconds: float = 0.0
    trained: int = 0
    resumed: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)


def vector_models(records: int, classes: int, count: int) -> int:
    """Of how many first shadow models full answers are kept."""
    return min(count, VECTOR_MODELS, max(2, VECTOR_BYTES // max(1, records * classes * 4)))


def gather(
    engine: Engine, jobs: Sequence[Job], asked: Asked, store: BlockStore, identity: dict[str, Any], progress: Progress
) -> Gathered:
    """Train and ask all shadow models, block by block; blocks that are there under the same key are read instead.

    Args:
        identity: everything a block depends on beside its jobs (data, code, plan, queries ...).
    """
    result, blocks = Gathered(), list(_blocks(jobs, engine.block))
    wanted = vector_models(len(asked.audited), asked.classes, len(jobs))
    parts: list[Arrays] = []
    progress.start(len(jobs), 0)
    for number, (first, block) in enumerate(blocks, start=1):
        vectors = first < wanted
        key = block_key(jobs=[describe_job(job) for job in block], vectors=vectors, **identity)
        arrays, problem = store.load(block_name(number), key)
        if problem is not None:
            result.notes.append(("block-trained-again", f"{problem}; its models are trained again"))
        if arrays is None:
            begun = time.perf_counter()
            arrays = engine.run(
                block,
                partial(collect, asked=asked, vectors=vectors),
                partial(_tell, progress, first, len(block)),
            )
            store.save(block_name(number), key, range(first, first + len(block)), arrays)
            result.seconds += time.perf_counter() - begun
            result.trained += len(block)
        else:
            result.resumed += len(block)
        parts.append(arrays)
        progress.update(first + len(block))
    progress.stop()
    result.arrays = _join(parts, wanted)
    return result


def answers_of(arrays: Arrays, prefix: str) -> Answers | None:
    """The ``Answers`` under a prefix ("audited", "population") of a block's arrays."""
    if f"{prefix}.log_p" not in arrays:
        return None
    return Answers(
        arrays[f"{prefix}.log_p"],
        arrays[f"{prefix}.log_1mp"],
        arrays[f"{prefix}.correct"],
        arrays.get(f"{prefix}.vectors"),
        arrays["kind"][0].item(),
        saturated=float(arrays["saturated"].mean()),
    )


def describe_job(job: Job) -> dict[str, Any]:
    """What a job is, as plain values with its rows hashed: part of a block's key."""
    rows = hashlib.sha256(np.ascontiguousarray(job.rows).tobytes()).hexdigest()
    return {"rows": rows, "seed": job.seed, "recipe": vars(job.recipe), **describe(job.step)}


def _tell(progress: Progress, first: int, size: int, share: float) -> None:
    progress.update(first + share * size)


def _blocks(jobs: Sequence[Job], size: int) -> Iterator[tuple[int, Sequence[Job]]]:
    for first in range(0, len(jobs), size):
        yield first, jobs[first : first + size]


def _join(parts: Sequence[Arrays], vectors: int) -> Arrays:
    names = parts[0].keys()
    joined = {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}
    if "audited.vectors" in joined:
        joined["audited.vectors"] = joined["audited.vectors"][:vectors]
    return joined
