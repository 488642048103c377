"""The engine of one machine: block after block in this process, which the trainer may share out to others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from memberwise.errors import Note
from memberwise.training.engines.base import Block, BlockTick, Collection, Done, run_block
from memberwise.training.trainers.base import Trainer


class LocalEngine:
    """One block at a time, trained where it is submitted."""

    in_flight, status = 1, ""
    notes: Sequence[Note] = ()

    def __init__(self, trainer: Trainer, collection: Collection, tick: BlockTick) -> None:
        self.trainer, self.collection, self.tick = trainer, collection, tick

    def submit(self, block: Block) -> Iterator[Done]:
        yield block, run_block(self.trainer, self.collection, block, partial(self.tick, block))

    def drain(self) -> Iterator[Done]:
        return iter(())

    def close(self) -> list[Done]:
        return []
