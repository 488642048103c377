"""A toy engine of threads: three blocks under way, which come back as they finish."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Event

from memberwise.errors import Note
from memberwise.store.blocks import Arrays  # type: ignore[attr-defined]
from memberwise.training.engines.base import Block, BlockTick, Collection, Done, run_block
from memberwise.training.trainers.base import Trainer


class ThreadEngine:
    """Each block in a thread of its own."""

    in_flight, status = 3, ""
    notes: Sequence[Note] = ()

    def __init__(self, trainer: Trainer, collection: Collection, tick: BlockTick) -> None:
        self.trainer, self.collection, self.tick = trainer, collection, tick
        self.pool = ThreadPoolExecutor(self.in_flight)
        self.under_way: dict[Future[Arrays], Block] = {}

    def submit(self, block: Block) -> Iterator[Done]:
        while len(self.under_way) >= self.in_flight:
            wait(self.under_way, return_when=FIRST_COMPLETED)
            yield from self.finished()
        self.under_way[self.pool.submit(self.work, block)] = block
        yield from self.finished()

    def drain(self) -> Iterator[Done]:
        while self.under_way:
            wait(self.under_way, return_when=FIRST_COMPLETED)
            yield from self.finished()

    def close(self) -> list[Done]:
        self.pool.shutdown(wait=False, cancel_futures=True)
        done = [future for future in self.under_way if future.done() and not future.cancelled()]
        return [(self.under_way.pop(future), future.result()) for future in done if future.exception() is None]

    def finished(self) -> Iterator[Done]:
        for future in [future for future in self.under_way if future.done()]:
            yield self.under_way.pop(future), future.result()

    def work(self, block: Block) -> Arrays:
        return run_block(self.trainer, self.collection, block, partial(self.tick, block))


class BackwardEngine(ThreadEngine):
    """Of every three blocks the last comes back first.

    Attributes:
        blocks: how many there are.
    """

    blocks = 5

    def __init__(self, trainer: Trainer, collection: Collection, tick: BlockTick) -> None:
        super().__init__(trainer, collection, tick)
        self.done = {number: Event() for number in range(1, self.blocks + 1)}
        self.order: list[int] = []

    def work(self, block: Block) -> Arrays:
        arrays = super().work(block)
        after = block.number + 1
        if block.number % 3 and after in self.done:
            self.done[after].wait(60)
        self.order.append(block.number)
        self.done[block.number].set()
        return arrays
