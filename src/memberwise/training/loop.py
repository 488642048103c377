"""The training loop: a whole stack of models of one architecture, in one pass over their batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from memberwise.errors import TrainingError
from memberwise.models.network import Network, Tensors
from memberwise.training.early import copied, early_epochs, in_order
from memberwise.training.early_stopping import CHUNK, EarlyStopping
from memberwise.training.equality import examined
from memberwise.training.feed import Feed
from memberwise.training.job import Job, TrainedStack
from memberwise.training.step import LOSSES, Epoch, State
from memberwise.training.steppers.base import Stepper, make_stepper, mapped, only, stack_models
from memberwise.training.steppers.dense_compiled import CompiledStepper
from memberwise.training.tensors import DataTensors
from memberwise.training.trace import LossTrace, joined_traces
from memberwise.types.arrays import Floats, Ints

Tick = Callable[[float], None]


def train_stack(
    jobs: Sequence[Job],
    network: Network,
    data: DataTensors,
    stacked: bool = True,
    tick: Tick | None = None,
    compiled: bool = False,
) -> TrainedStack:
    """Train jobs of one step and recipe together.

    With patience in the recipe each model ends with the parameters that did best on the validation rows.

    Args:
        jobs: what to train, all with the same step, recipe and validation rows. Where their numbers of rows differ
            (records of one person stay together), those with as many steps an epoch train together, shorter ones
            padded behind a mask: what a model becomes does not depend on which others are there.
        stacked: False trains the one job by ordinary autograd, for modules ``torch.func`` cannot take.
        tick: called after each step with the share of the work that is done.
        compiled: compile the step where that is built for it.

    Raises:
        TrainingError: a model's loss is NaN or infinite.
        StudyError: see ``equality.examined``.
    """
    if not stacked and len(jobs) > 1:
        raise ValueError("models that are not stacked train one at a time")
    steps = np.array([job.recipe.steps_per_epoch(len(job.rows)) for job in jobs])
    places = [np.flatnonzero(steps == count).tolist() for count in np.unique(steps)]
    parts = [
        _train_together([jobs[i] for i in group], network, data, stacked, _part_of(tick, k, len(places)), compiled)
        for k, group in enumerate(places)
    ]
    return parts[0] if len(parts) == 1 else _in_order(parts, np.argsort(np.concatenate(places)))


def _train_together(
    jobs: Sequence[Job], network: Network, data: DataTensors, stacked: bool, tick: Tick | None, compiled: bool
) -> TrainedStack:
    recipe, step = jobs[0].recipe, jobs[0].step
    network = examined(network, jobs[0], data, stacked, compiled)
    models = make_stepper(jobs, network, stacked, compiled)
    # Rounded once and not in every batch; augmentation computes in float32.
    rounds = isinstance(models, CompiledStepper) and network.precision is torch.bfloat16 and not recipe.augment
    feed = Feed(jobs, network, data.in_bfloat16 if rounds else data)
    stopping = None if recipe.patience is None else EarlyStopping(jobs, network, data, stacked)
    trace = LossTrace(recipe.epochs, network.convolves, step.tells_losses) if jobs[0].traced else None
    looked_at = early_epochs(recipe.epochs) if any(job.early for job in jobs) else []
    early = []
    losses = np.full((len(jobs), recipe.epochs), np.nan)
    running = np.ones(len(jobs), bool)
    for epoch in range(recipe.epochs):
        losses[running, epoch] = _one_epoch(epoch, feed, models, tick, trace)[running]
        _check_finite(losses[running, epoch], epoch, jobs)
        if trace is not None and epoch in trace.epochs:
            if not trace.in_step:
                trace.look(_outputs(network, stacked, models, feed), feed.targets, step.record_losses)
            trace.after_epoch(running)
        if step.watches_epochs:
            _after_epoch(epoch, feed, network, stacked, models)
        if stopping is not None:
            stopping.after_epoch(models.params, models.state)
            running = ~stopping.frozen
        if epoch in looked_at:
            early.append(copied(*((models.params, models.state) if stopping is None else stopping.best())))
        if not running.any():
            break
    params, state = (models.params, models.state) if stopping is None else stopping.best()
    early += [(params, state)] * (len(looked_at) - len(early))  # stopped before: as good as they became
    quantiles = None if trace is None else trace.quantiles()
    own = {name: value for name, value in state.own.items() if name != LOSSES}
    return TrainedStack(params, state.buffers, losses, own, quantiles, tuple(early))


def _part_of(tick: Tick | None, number: int, parts: int) -> Tick | None:
    """Tells of one of several parts as a share of them all."""
    return None if tick is None else lambda share: tick((number + share) / parts)


def _in_order(parts: Sequence[TrainedStack], order: Ints) -> TrainedStack:
    """Several stacks as one, in this order of their models."""

    def joined(stacks: Sequence[Tensors]) -> Tensors:
        return {name: torch.cat([stack[name] for stack in stacks])[torch.from_numpy(order)] for name in stacks[0]}

    kinds = ([part.params for part in parts], [part.buffers for part in parts], [part.own for part in parts])
    params, buffers, tensors = map(joined, kinds)
    losses = np.concatenate([part.losses for part in parts])[order]
    traces = joined_traces([part.traces for part in parts], order)
    return TrainedStack(params, buffers, losses, tensors, traces, in_order([part.early for part in parts], order))


def _one_epoch(epoch: int, feed: Feed, models: Stepper, tick: Tick | None, trace: LossTrace | None) -> Floats:
    """``(m,)`` mean training losses of the epoch."""
    total, seen = torch.zeros((2, len(feed.jobs)), device=feed.device)
    for i, (batch, keys) in enumerate(feed.epoch(epoch)):
        number = epoch * feed.per_epoch + i
        loss = models.step(batch, keys, feed.recipe.rate(number, feed.per_epoch))
        if trace is not None and trace.in_step and epoch in trace.epochs:
            trace.see(batch.ids, models.state.own[LOSSES])
        records = batch.ids.shape[1] if batch.mask is None else batch.mask.sum(1)
        total, seen = total + loss * records, seen + records
        if tick is not None:
            tick((number + 1) / (feed.recipe.epochs * feed.per_epoch))
    mean: Floats = (total / seen.clamp(min=1)).double().cpu().numpy()
    return mean


@torch.no_grad()
def _after_epoch(number: int, feed: Feed, network: Network, stacked: bool, models: Stepper) -> None:
    """Let the step see its epoch, and go on with what it makes of parameters and state."""
    step, params, state = feed.step, models.params, models.state
    outputs = _outputs(network, stacked, models, feed) if "outputs" in step.needs else None
    keys = feed.keys[:, (number + 1) * feed.per_epoch - 1]
    epoch = Epoch(torch.full_like(keys, number), outputs, feed.targets, feed.mask, keys)
    if stacked:
        in_dims = (0, 0, mapped(epoch))
        changed, models.state = vmap(lambda p, s, e: step.after_epoch(network, p, s, e), in_dims=in_dims)(
            params, state, epoch
        )
    else:
        alone, after = step.after_epoch(network, only(params), only(state), only(epoch))
        changed, models.state = (
            stack_models([alone]),
            State(stack_models([after.buffers]), stack_models([after.own])),
        )
    models.set_params(changed)


@torch.no_grad()
def _outputs(network: Network, stacked: bool, models: Stepper, feed: Feed) -> Tensor:
    """``(m, n, classes)`` logits of each model on its own rows, in evaluation mode, some records at a time."""
    parts, params, buffers = [], models.params, models.state.buffers
    for rows in torch.split(feed.rows, CHUNK, dim=1):
        x = feed.source.records(rows)
        if stacked:
            parts.append(vmap(lambda p, b, x: network(p, b, x, None)[0])(params, buffers, x))
        else:
            parts.append(network(only(params), only(buffers), x[0], None)[0][None])
    return torch.cat(parts, 1)


def _check_finite(losses: Floats, epoch: int, jobs: Sequence[Job]) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise TrainingError(
            f"the training loss is {losses[bad[0]]} in epoch {epoch + 1}",
            found=f"{len(bad)} of {len(jobs)} models trained together",
            fix="a smaller training.learning_rate, or training.clip_norm=1.0; check the scale of the features",
        )
