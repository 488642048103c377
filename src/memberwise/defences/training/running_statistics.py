"""BatchNorm's statistics of given parameters, taken anew from the rows a model trains on."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from memberwise.defences.training.losses import mean_of_records
from memberwise.models.layer_kinds import BATCH_NORMS, INSTANCE_NORMS
from memberwise.models.network import Network, Tensors
from memberwise.training.job import Job
from memberwise.training.step import Batch, State, Step
from memberwise.types.arrays import Floats32


class RunningStatistics(Step):
    """Parameters stay; running statistics become their mean over the batches of one epoch, weighted by records.

    A moving average with momentum 0.1 would still hold 0.9^n of where it began after n batches. Layers that take the
    mean over all batches by themselves (momentum None) are left to it.
    """

    def init(self, network: Network, rows: int, key: Tensor) -> dict[str, Tensor]:
        _, buffers = network.init(0)
        zeros = {name: torch.zeros_like(buffers[name]) for name in momenta(network.module)}
        return zeros | {"seen": torch.zeros((), device=key.device)}

    def update(
        self, network: Network, params: Tensors, state: State, batch: Batch, key: Tensor
    ) -> tuple[Tensors, Tensor, State]:
        rates, before = momenta(network.module), state.own
        # From 0 a layer moves to its momentum times what it saw in the batch.
        blank = state.buffers | {name: torch.zeros_like(state.buffers[name]) for name in rates}
        logits, buffers = network(params, blank, batch.x, key)
        size = torch.ones_like(before["seen"]) * len(batch.x) if batch.mask is None else batch.mask.sum()
        seen = before["seen"] + size
        share = size / seen.clamp(min=1)
        mean = {name: before[name] + share * (buffers[name] / rate - before[name]) for name, rate in rates.items()}
        loss = mean_of_records(functional.cross_entropy(logits, batch.target, reduction="none"), batch.mask)
        still = {name: torch.zeros_like(value) for name, value in params.items()}
        return still, loss, State(buffers | mean, mean | {"seen": seen})


def momenta(module: nn.Module) -> dict[str, float]:
    """The momentum of each buffer that is a moving average over batches, by the buffer's name."""
    kinds = (*BATCH_NORMS, *INSTANCE_NORMS)
    return {
        f"{name}.{kept}" if name else kept: float(part.momentum)  # type: ignore[arg-type]
        for name, part in module.named_modules()
        if isinstance(part, kinds) and part.track_running_stats and part.momentum
        for kept in ("running_mean", "running_var")
    }


def settled(job: Job, params: dict[str, Floats32]) -> Job:
    """The job that gives these parameters the statistics of the job's rows."""
    still = replace(job.recipe, learning_rate=0.0, epochs=1, schedule="constant", steps=(), warmup=0, patience=None)
    return replace(job, init=params, step=RunningStatistics(), recipe=still, validation=None)
