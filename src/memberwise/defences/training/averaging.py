"""The mean of the last epochs' parameters, for training that swings."""

from __future__ import annotations

import torch
from torch import Tensor

from memberwise.models.network import Network, Tensors
from memberwise.training.step import Epoch, State, Step


class Averaged(Step):
    """A step whose model ends as the mean of its parameters after each of the last ``average`` epochs.

    Which epochs is fixed beforehand, never chosen by accuracy. Averages of buffers (BatchNorm's statistics) likewise.
    """

    def __init__(self, epochs: int, average: int, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing)
        self.epochs, self.average = epochs, min(average, epochs)

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        if self.average == 1:
            return {}
        params, buffers = network.init(0)
        averaged = params | _moving(buffers, network)
        return {f"sum:{name}": torch.zeros_like(value) for name, value in averaged.items()}

    def after_epoch(self, network: Network, params: Tensors, state: State, epoch: Epoch) -> tuple[Tensors, State]:
        if self.average == 1:
            return params, state
        counts, last = epoch.number >= self.epochs - self.average, epoch.number == self.epochs - 1
        now, sums = params | _moving(state.buffers, network), dict(state.own)
        for name, value in now.items():
            sums[f"sum:{name}"] = sums[f"sum:{name}"] + torch.where(counts, value, 0.0)
            now[name] = torch.where(last, sums[f"sum:{name}"] / self.average, value)
        buffers = state.buffers | {name: now[name] for name in state.buffers if name in now}
        return {name: now[name] for name in params}, State(buffers, sums)


def _moving(buffers: Tensors, network: Network) -> Tensors:
    """Buffers that training may move: a mean of frozen parameters would be they themselves but for rounding."""
    moving = buffers.keys() - network.constant
    return {name: value for name, value in buffers.items() if name in moving and value.is_floating_point()}
