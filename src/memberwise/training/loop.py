"""The training loop: a whole stack of models of one architecture, in one pass over their batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from memberwise.errors import TrainingError
from memberwise.training.augment import augmentation
from memberwise.training.dense import DenseUpdate, takes_dense
from memberwise.training.early_stopping import EarlyStopping
from memberwise.training.job import Job, TrainedStack
from memberwise.training.network import Network, Tensors
from memberwise.training.randomness import step_keys
from memberwise.training.recipe import Recipe, clip_per_model
from memberwise.training.step import Batch, State, plain_update
from memberwise.training.tensors import DataTensors

Tick = Callable[[float], None]


def train_stack(
    jobs: Sequence[Job], network: Network, data: DataTensors, stacked: bool = True, tick: Tick | None = None
) -> TrainedStack:
    """Train jobs of equal size, step and recipe together.

    With patience in the recipe each model ends with the parameters that did best on the validation rows.

    Args:
        jobs: what to train, all with the same step, recipe and validation rows. Where their numbers of rows differ
            (records of one person stay together), shorter ones are padded, the padding is masked, and all take as
            many steps.
        stacked: False trains the one job by ordinary autograd, for modules ``torch.func`` cannot take.
        tick: called after each step with the share of the work that is done.

    Raises:
        TrainingError: a model's loss is NaN or infinite.
    """
    if not stacked and len(jobs) > 1:
        raise ValueError("models that are not stacked train one at a time")
    recipe, step = jobs[0].recipe, jobs[0].step
    longest = max(len(job.rows) for job in jobs)
    rows = torch.from_numpy(np.stack([np.resize(job.rows, longest) for job in jobs])).to(network.device)
    sizes = torch.tensor([len(job.rows) for job in jobs], device=network.device)
    padded = bool((sizes < longest).any())
    targets = _targets(jobs, data, rows)
    params, state = start(jobs, network)
    leaves = {name: torch.nn.Parameter(value) for name, value in params.items()}
    params = {name: leaf.data for name, leaf in leaves.items()}
    optimiser = recipe.optimiser(list(leaves.values()))
    update = make_update(jobs[0], network, stacked, padded)
    augment = augmentation(recipe.augment, data.classes)
    stopping = None if recipe.patience is None else EarlyStopping(jobs, network, data, stacked)
    per_epoch = recipe.steps_per_epoch(rows.shape[1])
    keys = torch.stack([step_keys(job.seed, recipe.epochs * per_epoch) for job in jobs]).to(network.device)
    losses = np.full((len(jobs), recipe.epochs), np.nan)
    running = np.ones(len(jobs), bool)
    for epoch in range(recipe.epochs):
        order = _order(jobs, epoch, network.device)
        total = torch.zeros(len(jobs), device=network.device)
        for i in range(per_epoch):
            number = epoch * per_epoch + i
            ids = order[:, i * recipe.batch_size : None if i == per_epoch - 1 else (i + 1) * recipe.batch_size]
            mask = (ids < sizes[:, None]).float() if padded else None
            x, target = data.records(rows.gather(1, ids)), _take(targets, ids)
            if augment is not None:
                x, target = augment(x, target, keys[:, number], mask)
            batch = Batch(x, target, ids, mask, torch.full((len(jobs),), epoch, device=network.device))
            gradient, loss, state = update(params, state, batch, keys[:, number])
            _descend(gradient, leaves, optimiser, recipe, recipe.rate(number, per_epoch))
            total += loss * ids.shape[1]
            if tick is not None:
                tick((number + 1) / (recipe.epochs * per_epoch))
        losses[running, epoch] = (total / rows.shape[1]).cpu().numpy()[running]
        _check_finite(losses[running, epoch], epoch, jobs)
        if step.watches_epochs:
            params, state = _after_epoch(jobs[0], network, leaves, params, state, data, rows)
        if stopping is not None:
            stopping.after_epoch(params, state)
            running = ~stopping.frozen
            if not running.any():
                break
    if stopping is not None:
        params, state = stopping.best()
    return TrainedStack(params, state.buffers, losses, state.own)


def start(jobs: Sequence[Job], network: Network) -> tuple[Tensors, State]:
    """Stacked parameters and state at the beginning, each model from its own seed."""
    pairs = [network.init(job.seed) for job in jobs]
    inits = [
        params if job.init is None else {k: torch.from_numpy(job.init[k]).to(v) for k, v in params.items()}
        for job, (params, _) in zip(jobs, pairs, strict=True)
    ]
    own = [job.step.init(network, len(job.rows), step_keys(job.seed, 1)[0].to(network.device)) for job in jobs]
    return _stack(inits), State(_stack([buffers for _, buffers in pairs]), _stack(own))


def make_update(
    job: Job, network: Network, stacked: bool, padded: bool = False
) -> Callable[[Tensors, State, Batch, Tensor], tuple[Tensors, Tensor, State]]:
    """One training step of a stack: ``vmap`` over the job's step, or ordinary autograd for a stack of one.

    Plain training of fully connected networks in bfloat16 is written out (measured 1.3 to 1.5 times as fast).
    """
    if stacked and network.precision is torch.bfloat16 and takes_dense(network, job.step):
        return DenseUpdate(network, job.step, network.precision)
    if stacked:
        one = Batch(0, 0, 0, 0 if padded else None, 0)  # type: ignore[arg-type]  # dimensions to map over, in a batch's places
        return vmap(lambda p, s, b, k: job.step.update(network, p, s, b, k), in_dims=(0, 0, one, 0))

    def alone(params: Tensors, state: State, batch: Batch, keys: Tensor) -> tuple[Tensors, Tensor, State]:
        first = State(_first(state.buffers), _first(state.own))
        only = Batch(batch.x[0], batch.target[0], batch.ids[0], None, batch.epoch[0])
        gradient, loss, after = plain_update(job.step, network, _first(params), first, only, keys[0])
        return _stack([gradient]), loss[None], State(_stack([after.buffers]), _stack([after.own]))

    return alone


def _descend(
    gradient: Tensors,
    leaves: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    rate: float,
) -> None:
    """One step of the optimiser over the stack, in place."""
    if recipe.clip_norm is not None:
        clip_per_model(gradient, recipe.clip_norm)
    for name, leaf in leaves.items():
        value = gradient[name]
        # The fused optimisers walk memory as it lies, so the gradient must lie as its parameter does.
        leaf.grad = value if value.stride() == leaf.stride() else torch.empty_like(leaf).copy_(value)
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()


def _after_epoch(
    job: Job,
    network: Network,
    leaves: dict[str, torch.nn.Parameter],
    params: Tensors,
    state: State,
    data: DataTensors,
    rows: Tensor,
) -> tuple[Tensors, State]:
    outputs = None
    if "outputs" in job.step.needs:
        with torch.no_grad():
            outputs = vmap(lambda p, b, x: network(p, b, x, None)[0])(params, state.buffers, data.records(rows))
    changed, state = vmap(lambda p, s, o: job.step.after_epoch(network, p, s, o))(params, state, outputs)
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.copy_(changed[name])
    return {name: leaf.data for name, leaf in leaves.items()}, state


def _order(jobs: Sequence[Job], epoch: int, device: torch.device) -> Tensor:
    """``(m, n)`` the order of each model's rows in an epoch, from its own seed alone."""
    longest = max(len(job.rows) for job in jobs)
    orders = [
        np.append(
            np.random.default_rng([job.seed, epoch]).permutation(len(job.rows)), np.arange(len(job.rows), longest)
        )
        for job in jobs
    ]
    return torch.from_numpy(np.stack(orders)).to(device)


def _targets(jobs: Sequence[Job], data: DataTensors, rows: Tensor) -> Tensor:
    if jobs[0].targets is None:
        return data.y[rows]
    return torch.stack([torch.from_numpy(job.targets) for job in jobs]).to(rows.device)


def _take(targets: Tensor, ids: Tensor) -> Tensor:
    if targets.dim() == 2:
        return targets.gather(1, ids)
    return targets.gather(1, ids.unsqueeze(-1).expand(-1, -1, targets.shape[-1]))


def _stack(models: Sequence[Tensors]) -> Tensors:
    if len(models) == 1:  # a view, which keeps the memory format
        return {name: value.unsqueeze(0) for name, value in models[0].items()}
    return {name: torch.stack([model[name] for model in models]) for name in models[0]}


def _first(tensors: Tensors) -> Tensors:
    return {name: value[0] for name, value in tensors.items()}


def _check_finite(losses: np.ndarray, epoch: int, jobs: Sequence[Job]) -> None:
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise TrainingError(
            f"the training loss is {losses[bad[0]]} in epoch {epoch + 1}",
            found=f"{len(bad)} of {len(jobs)} models trained together",
            fix="a smaller training.learning_rate, or training.clip_norm=1.0; check the scale of the features",
        )
