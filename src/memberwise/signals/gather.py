"""Have block after block trained, keep their signals on disk, and join them: killed at any moment, resumed the same."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from memberwise.errors import Note, RunFolderError, TrainingError
from memberwise.signals.ask import take_seconds
from memberwise.signals.codec import FIRST_MODELS, VECTOR_MODELS, join, lacking, of_first_models, vector_models
from memberwise.signals.collection import SignalCollection
from memberwise.signals.progress import Progress
from memberwise.signals.questions import Questions
from memberwise.signals.schedule import Jobs, ShadowRun
from memberwise.signals.streamed import join_streamed, joined_shape
from memberwise.store.blocks import BlockStore, block_key, block_name
from memberwise.study.engine import EngineConfig
from memberwise.training.engines.base import Block, Done, Engine, take_processor
from memberwise.training.engines.registry import DEFAULT, find_engine
from memberwise.training.job import describe_job
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Arrays, DType


def gather(
    trainer: Trainer,
    jobs: Jobs,
    questions: Questions,
    store: BlockStore,
    identity: dict[str, object],
    progress: Progress,
    engine: EngineConfig = DEFAULT,
) -> ShadowRun:
    """Train and ask shadow models, block by block; blocks that are there under the same key are read instead.

    Interrupted (Ctrl-C), it gives the models up to the first that is missing and says so in ``interrupted``; blocks
    behind that one stay on disk, too.

    Args:
        jobs: which block of jobs comes next.
        identity: everything a block depends on beside its jobs (data, code, plan, queries ...).
        engine: has the blocks trained.

    Raises:
        StudyError: there is no such engine. MemberwiseError: a block failed; the others that are done stay on disk.
    """
    run = _Run(jobs, questions, store, identity, progress, trainer.describe().workers)
    running = run.engine = find_engine(engine)(trainer, SignalCollection(questions), run.tell)
    try:
        run.carry_out(running)
    except KeyboardInterrupt:
        run.result.interrupted = True
    finally:
        run.keep(running.close())
        run.result.notes += running.notes
    progress.stop()
    return run.joined()


# Bytes of finished blocks that are held; the rest are read again from disk when all are joined.
HELD = 512 * 2**20


@dataclass(frozen=True)
class _Part:
    """A finished block of ``size`` models, which were ``resumed`` (read) or trained.

    Attributes:
        shapes: type and shape of each array. arrays: those, or None where there is no room to hold them: on disk alone.
    """

    shapes: dict[str, tuple[DType, tuple[int, ...]]]
    size: int
    resumed: bool
    arrays: Arrays | None

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values()) if self.arrays is not None else 0


@dataclass(frozen=True)
class _UnderWay:
    """A block that is begun: the keys of its models, and when it was submitted."""

    keys: list[str]
    begun: float


@dataclass
class _Run:
    """The blocks of one run, by number: under way, how far, and done."""

    jobs: Jobs
    questions: Questions
    store: BlockStore
    identity: dict[str, object]
    progress: Progress
    workers: int
    result: ShadowRun = field(default_factory=ShadowRun)
    parts: dict[int, _Part] = field(default_factory=dict)
    under_way: dict[int, _UnderWay] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    last: float = 0.0  # when a block came back last
    engine: Engine | None = None

    def carry_out(self, engine: Engine) -> None:
        """Every block that there is to be, read or trained."""
        first, number = 0, 1
        self.progress.start(self.jobs.expected(0, 0.0), 0)
        while True:
            self.result.at_once = engine.in_flight
            stored = self.store.matching(block_name(number), first, partial(self._key, first))
            size = self.jobs.next_size(first, self.result, stored)
            if not size and not self.under_way:
                return
            if not size:  # once these are done, there may turn out to be time for more
                waiting = sorted(self.under_way)
                self.keep(engine.drain())
                if sorted(self.under_way) == waiting:
                    raise TrainingError(
                        "the engine gave nothing back",
                        expected="drain() waits for every block that is under way",
                        found=f"no end of block {', '.join(map(str, waiting))}",
                        where="engine.name",
                    )
                continue
            arrays = self._read(number, first, size, stored)
            if arrays is not None:
                self._put(number, size, arrays, resumed=True)
            else:
                jobs = tuple(self.jobs.job(k) for k in range(first, first + size))
                self._submit(engine, Block(number, first, jobs, self._keeps_vectors(first)))
            first, number = first + size, number + 1

    def keep(self, finished: Iterable[Done]) -> None:
        """Write finished blocks to disk, whichever order they come in, and count them."""
        for block, arrays in finished:
            begun, now = self.under_way[block.number], time.perf_counter()
            # Of blocks that are under way together, each counts for the time since the one before came back.
            took, self.last = now - max(begun.begun, self.last), now
            asking, processor = min(took, take_seconds(arrays) / self.workers), take_processor(arrays)
            self.store.save(block_name(block.number), begun.keys, block.models, arrays, took, asking, processor)
            self.result.processors[processor] += len(block)
            self.result.waited += now - begun.begun
            self.result.seconds += took
            self.result.asking += asking
            self.result.under_way -= len(block)
            del self.under_way[block.number]
            self._put(block.number, len(block), arrays, resumed=False)

    def tell(self, block: Block, share: float) -> None:
        """A block under way is done to this share."""
        self.shares[block.number] = share * len(block)
        self._show()

    def joined(self) -> ShadowRun:
        """The models up to the first that is missing, as one table."""
        whole = 0
        while whole + 1 in self.parts:
            whole += 1
        for number, part in self.parts.items():
            if number > whole:  # kept for a later run
                self.result.trained -= 0 if part.resumed else part.size
                self.result.resumed -= part.size if part.resumed else 0
        if whole:
            most = vector_models(len(self.questions.audited), self.questions.classes, self.result.count)
            self.result.arrays = self._join([self.parts[number] for number in range(1, whole + 1)], most)
        return self.result

    def _join(self, parts: list[_Part], vectors: int) -> Arrays:
        held = [part.arrays for part in parts if part.arrays is not None]
        if len(held) == len(parts):
            return join(held, vectors)
        shapes = {}
        known = list(of_first_models([part.shapes for part in parts]))
        for name in known[0]:
            dtype, (models, *rest) = joined_shape([part[name] for part in known if name in part])
            shapes[name] = dtype, (min(models, vectors) if name in FIRST_MODELS else models, *rest)
        blocks = (self._read_again(number, part) for number, part in enumerate(parts, 1))
        return join_streamed(of_first_models(blocks), shapes, self.store.folder)

    def _read_again(self, number: int, part: _Part) -> Arrays:
        if part.arrays is not None:
            return part.arrays
        arrays, problem = self.store.load_first(block_name(number), part.size)
        if arrays is None:
            raise RunFolderError(f"{problem}, just after it was written", fix="the same command trains it again")
        return arrays

    def _submit(self, engine: Engine, block: Block) -> None:
        keys = [self._key(block.first, k) for k in block.models]
        self.under_way[block.number] = _UnderWay(keys, time.perf_counter())
        self.result.under_way += len(block)
        self.keep(engine.submit(block))

    def _put(self, number: int, size: int, arrays: Arrays, resumed: bool) -> None:
        shapes = {name: (array.dtype, array.shape) for name, array in arrays.items()}
        room = HELD - sum(part.nbytes for part in self.parts.values())
        hold = sum(array.nbytes for array in arrays.values()) <= room
        self.parts[number] = _Part(shapes, size, resumed, arrays if hold else None)
        self.shares.pop(number, None)
        if resumed:
            self.result.resumed += size
        else:
            self.result.trained += size
        self.progress.start(self.jobs.expected(self.result.trained, self.result.seconds), self.result.count)
        self._show()

    def _show(self) -> None:
        self.progress.say("" if self.engine is None else self.engine.status)
        self.progress.update(self.result.count + sum(list(self.shares.values())))

    def _read(self, number: int, first: int, size: int, stored: int) -> Arrays | None:
        """The arrays of ``size`` models, where all of them are ``stored`` and hold what is asked now."""
        name, arrays, problem = block_name(number), None, None
        if name in self.store.manifest and not stored:
            problem = self.store.stale(name)
        if stored >= size:
            arrays, problem = self.store.load_first(name, size)
        if arrays is not None and (missing := lacking(arrays, self.questions, first)):
            arrays, problem = None, f"{self.store.folder / name}.npz holds no {missing}, which an attack needs"
        if problem is not None:
            self.result.notes.append(Note("block-trained-again", f"{problem}; its models are trained again"))
        if arrays is not None:
            self.result.processors[self.store.processor(name)] += size
            self.result.earlier += self.store.seconds(name, size)
            self.result.asking += self.store.seconds(name, size, "asking")
        return arrays

    def _keeps_vectors(self, first: int) -> bool:
        """Full answers are kept of the block that begins with this model."""
        most = vector_models(len(self.questions.audited), self.questions.classes, VECTOR_MODELS)
        return first < min(VECTOR_MODELS, most)

    def _key(self, first: int, number: int) -> str:
        """Of one model, in the block that begins with model ``first``: everything that its arrays depend on."""
        job = describe_job(self.jobs.job(number))
        return block_key(job=job, vectors=self._keeps_vectors(first), **self.identity)
