"""Train block after block, keep each block's signals on disk, and join them: killed at any moment, resumed the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from memberwise.signals.ask import collect, take_seconds
from memberwise.signals.codec import VECTOR_MODELS, join, lacking, vector_models
from memberwise.signals.progress import Progress
from memberwise.signals.questions import Questions
from memberwise.signals.schedule import Jobs, ShadowRun
from memberwise.store.blocks import Arrays, BlockStore, block_key, block_name
from memberwise.training.engines.base import Engine
from memberwise.training.engines.processes import ProcessEngine
from memberwise.training.job import Job, describe_job


def gather(
    engine: Engine,
    jobs: Jobs,
    questions: Questions,
    store: BlockStore,
    identity: dict[str, Any],
    progress: Progress,
) -> ShadowRun:
    """Train and ask shadow models, block by block; blocks that are there under the same key are read instead.

    Interrupted (Ctrl-C), it gives what is there and says so in ``interrupted``.

    Args:
        jobs: which block of jobs comes next.
        identity: everything a block depends on beside its jobs (data, code, plan, queries ...).
    """
    result = ShadowRun()
    parts: list[Arrays] = []
    first = number = 0
    progress.start(jobs.expected(0, 0.0), 0)
    try:
        while True:
            number += 1
            work = _Block(block_name(number), first, questions, identity, jobs.job)
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
        result.arrays = join(parts, vector_models(len(questions.audited), questions.classes, first))
    return result


@dataclass(frozen=True)
class _Block:
    """A block that begins with model ``first``."""

    name: str
    first: int
    questions: Questions
    identity: dict[str, Any]
    job: Callable[[int], Job]

    @property
    def vectors(self) -> bool:
        """Full answers are kept."""
        most = vector_models(len(self.questions.audited), self.questions.classes, VECTOR_MODELS)
        return self.first < min(VECTOR_MODELS, most)

    def key(self, number: int) -> str:
        """Of one model: everything that its arrays depend on."""
        return block_key(job=describe_job(self.job(number)), vectors=self.vectors, **self.identity)


def _one_block(
    engine: Engine, work: _Block, size: int, stored: int, store: BlockStore, progress: Progress, result: ShadowRun
) -> Arrays:
    """The arrays of ``size`` models, read where all of them are ``stored``, else trained."""
    arrays, problem = None, store.stale(work.name) if work.name in store.manifest and not stored else None
    if stored >= size:
        arrays, problem = store.load_first(work.name, size)
    if arrays is not None and (lacks := lacking(arrays, work.questions, work.first)):
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
    asking = partial(collect, questions=work.questions, vectors=work.vectors, numbers=by_seed)
    arrays = engine.run(jobs, asking, partial(_tell, progress, work.first, size))
    took = time.perf_counter() - begun
    workers = engine.plan.threads if isinstance(engine, ProcessEngine) else 1
    extra = min(took, take_seconds(arrays) / workers)
    store.save(work.name, [work.key(k) for k in numbers], numbers, arrays, took, extra)
    result.seconds += took
    result.asking += extra
    result.trained += size
    return arrays


def _tell(progress: Progress, first: int, size: int, share: float) -> None:
    progress.update(first + share * size)
