"""Early checkpoints: what a model was after a part of its training, kept to be asked beside what it became."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memberwise.models.network import Tensors
from memberwise.targets.staged import EARLY_SHARES
from memberwise.training.step import State
from memberwise.types.arrays import Ints

# Of the training's time; see ``early_records``. A record costs about this share of its training step in one epoch:
# a forward pass is a third of a step, but where networks are small most of a step is not arithmetic.
COST, LOOK, LOOK_CONVOLUTIONS = 0.04, 1 / 15, 1 / 3
# More records of a model teach no more.
MOST_RECORDS, MOST_POPULATION = 4_000, 1_000

Checkpoint = tuple[Tensors, State]


def early_epochs(epochs: int) -> list[int]:
    """Numbers of the epochs, from 0, after which a checkpoint is kept: before the last; none of one epoch alone."""
    return sorted({max(1, round(share * epochs)) - 1 for share in EARLY_SHARES} - {epochs - 1})


def early_records(epochs: int, rows: int, convolves: bool, queries: int = 1) -> int:
    """About how many records checkpoints are asked, population included, so that it costs ``COST`` of the training.

    Args:
        rows: on which a model trains in each of its ``epochs``. queries: questions about one record.
    """
    look = (LOOK_CONVOLUTIONS if convolves else LOOK) * len(EARLY_SHARES) * queries
    return int(COST * epochs * rows / look)


def copied(params: Tensors, state: State) -> Checkpoint:
    """A copy of a stack of models as they are now."""
    return _copy(params), State(_copy(state.buffers), _copy(state.own))


def in_order(parts: Sequence[Sequence[Checkpoint]], order: Ints) -> tuple[Checkpoint, ...]:
    """The checkpoints of several stacks as those of one, models in this ``(m,)`` order."""
    number = torch.from_numpy(order)

    def joined(stacks: Sequence[Tensors]) -> Tensors:
        return {name: torch.cat([stack[name] for stack in stacks])[number] for name in stacks[0]}

    return tuple(
        (
            joined([params for params, _ in same]),
            State(joined([state.buffers for _, state in same]), joined([state.own for _, state in same])),
        )
        for same in zip(*parts, strict=True)
    )


def _copy(tensors: Tensors) -> Tensors:
    return {name: value.detach().clone() for name, value in tensors.items()}
