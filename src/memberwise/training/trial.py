"""A trial: a few models of one architecture, a few records, and the steps which a plain loop over the modules takes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import KeyedDropout, seed_torch, step_keys
from memberwise.training.job import Job
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch
from memberwise.training.steppers.base import stack_models
from memberwise.training.steppers.dense import dense_layers
from memberwise.training.tensors import DataTensors

# Records in a batch; convolutions take their time.
RECORDS, OF_CONVOLUTIONS = 8, 4
# Models of a stack that are tried together; of networks with more parameters than LARGE fewer.
MODELS, OF_LARGE, LARGE = 3, 2, 1_000_000
# Beyond so many parameters in all one batch has to do, so that a trial takes no more memory than training.
ROOM = 4_000_000
# A step changes parameters by this share of their size: enough to see above rounding.
CHANGE = 0.1


@dataclass(frozen=True)
class Taken:
    """One step of ``m`` models: ``(m,)`` losses before it, changes of parameters by name, buffers after it."""

    losses: Tensor
    changes: Tensors
    buffers: Tensors

    @property
    def is_finite(self) -> bool:
        return all(bool(value.isfinite().all()) for value in (self.losses, *self.changes.values()))


@dataclass(frozen=True)
class Trial:
    """What the models of a trial begin with and see.

    Attributes:
        jobs: one a model, by SGD.
        params: ``(m, ...)`` by name, where each step begins: momentum and buffers go on, parameters do not, so that
            rounding does not grow from step to step.
        batches: each with the ``(m,)`` keys of its step; ``rate``: the learning rate.
    """

    jobs: list[Job]
    network: Network
    params: Tensors
    batches: list[tuple[Batch, Tensor]]
    rate: float


def models_tried(network: Network, stacked: bool) -> int:
    """How many models a trial has."""
    if not stacked:
        return 1
    return MODELS if network.parameters <= LARGE else OF_LARGE


def make_trial(network: Network, job: Job, data: DataTensors, models: int) -> Trial:
    """A trial of this many models, in float32, each with weights near to an initialisation from its own seed."""
    size = OF_CONVOLUTIONS if network.convolves else RECORDS
    recipe = replace(job.recipe, clip_norm=None, batch_size=size)
    if recipe.optimizer != "sgd":  # the others are torch's own, and make large steps of gradients that are rounding
        recipe = replace(recipe, optimizer="sgd", momentum=0.9, nesterov=False)
    jobs = [
        replace(job, rows=job.rows[:size], recipe=recipe, seed=seed, targets=None, init=None, records=None)
        for seed in range(1, models + 1)
    ]
    base = network.fresh(jobs[0].seed).computing(torch.float32, torch.contiguous_format)
    base.general, base.idle = False, frozenset()
    rng = torch.Generator().manual_seed(0)
    starts = stack_models([base.init(job.seed)[0] for job in jobs])
    params = {name: _moved(value, rng) for name, value in starts.items()}
    trial = Trial(jobs, base, params, _batches(base, job, data, (models, size), rng), 1.0)
    return replace(trial, rate=_rate(trial))


def _moved(value: Tensor, rng: torch.Generator) -> Tensor:
    """Numbers that no module holds by chance: each off by some tenths of itself, and zeros by some hundredths."""
    noise = torch.randn(value.shape, generator=rng).to(value)
    return torch.where(value == 0, 0.03 * noise, value * (1 + 0.3 * noise))


def _batches(
    network: Network, job: Job, data: DataTensors, shape: tuple[int, int], rng: torch.Generator
) -> list[tuple[Batch, Tensor]]:
    """A full batch and a short one of real records, with noise where any numbers will do, and random targets.

    Args:
        shape: number of models, and of records.
    """
    models, size = shape
    keys = torch.stack([step_keys(seed, 2) for seed in range(1, models + 1)])
    source = data
    if job.records is not None:
        source = DataTensors.of(job.records, np.zeros(len(job.records), np.int64), data.classes, data.x.device)
    made = []
    dense = dense_layers(network) is not None
    few = (1,) if dense else (0,)  # masks are of more consequence to what is written out
    for number in (0, 1) if models * network.parameters <= ROOM else few:
        rows = torch.from_numpy(job.rows)[torch.randint(len(job.rows), shape, generator=rng)]
        x = source.records(rows.to(data.x.device))
        if dense:
            x = x + (x.std() + 1) * torch.randn(x.shape, generator=rng).to(x)
        target = torch.randint(data.classes, shape, generator=rng)
        if job.targets is not None and job.targets.ndim > 1:
            target = torch.randn((*shape, data.classes), generator=rng).softmax(-1)
        # The models of a stack have unlike numbers of real records in a short batch, two at least.
        real = torch.arange(size) < (size - 1 - torch.arange(models) % (size - 2))[:, None]
        places, epoch = torch.arange(size).expand(shape), torch.zeros(models, dtype=torch.long)
        batch = [x, target, places, real.float() if number else None, epoch]
        moved = (None if part is None else part.to(network.device) for part in batch)
        made.append((Batch(*moved), keys[:, number].to(network.device)))  # type: ignore[arg-type]
    return made


def _rate(trial: Trial) -> float:
    """The learning rate at which the first model's first step changes its parameters by ``CHANGE`` of their size."""
    module = _with_params(trial.network.made(trial.jobs[0].seed), trial.params, 0)
    module.train()
    loss = _loss(module, trial, 0, *trial.batches[0])
    trained = [value for value in module.parameters() if value.requires_grad]
    gradients = [g for g in torch.autograd.grad(loss, trained, allow_unused=True) if g is not None]
    return rescaled(1.0, trained, gradients)


def rescaled(rate: float, params: list[Tensor] | list[nn.Parameter], changes: list[Tensor]) -> float:
    """The rate at which changes of parameters, which this one made, are ``CHANGE`` of their size.

    Args:
        params, changes: tensors of any shape, ``(...,)``, in one order.
    """
    size, change = (torch.stack([value.detach().norm() for value in part]).norm() for part in (params, changes))
    return rate * float(CHANGE * size / change) if float(change) > 0 else rate


def by_the_module(trial: Trial) -> tuple[list[Taken], frozenset[str]]:
    """The steps by a plain loop over each model's own module; and trainable parameters which had no gradient at all."""
    parts, idle = [], frozenset(trial.params)
    for place in range(len(trial.jobs)):
        steps, without = _loop(trial, place)
        parts.append(steps)
        idle &= without
    return [
        Taken(
            torch.stack([step.losses for step in steps]),
            stack_models([step.changes for step in steps]),
            stack_models([step.buffers for step in steps]),
        )
        for steps in zip(*parts, strict=True)
    ], idle


def _loop(trial: Trial, place: int) -> tuple[list[Taken], frozenset[str]]:
    """The steps of one model, as anyone would write them."""
    job = trial.jobs[place]
    module = trial.network.made(job.seed)
    module.train()
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    constant = [(name, value) for name, value in module.named_parameters() if not value.requires_grad]
    descend = _descent(job.recipe, trial.rate)
    steps, idle = [], frozenset(trained)
    for batch, keys in trial.batches:
        _with_params(module, trial.params, place)
        loss = _loss(module, trial, place, batch, keys)
        for value in trained.values():
            value.grad = None
        loss.backward()
        idle &= {name for name, value in trained.items() if value.grad is None}
        descend([value for value in trained.values() if value.grad is not None])
        changes = {name: value.detach() - trial.params[name][place] for name, value in trained.items()}
        buffers = {name: value.detach().clone() for name, value in [*constant, *module.named_buffers()]}
        steps.append(Taken(loss.detach(), changes, buffers))
    return steps, idle


def _loss(module: nn.Module, trial: Trial, place: int, batch: Batch, keys: Tensor) -> Tensor:
    """The loss of one model of a stack."""
    network, smoothing = trial.network, trial.jobs[place].step.label_smoothing
    x, target, mask = (None if part is None else part[place] for part in (batch.x, batch.target, batch.mask))
    seed_torch(int(keys[place]), network.device)
    with KeyedDropout(keys[place]) if network.drops else nullcontext():
        logits = network.logits(module(x), training=True)
    losses = functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)  # type: ignore[arg-type]
    loss: Tensor = losses.mean() if mask is None else (losses * mask).sum() / mask.sum()
    return loss


def _descent(recipe: Recipe, rate: float) -> Callable[[list[nn.Parameter]], None]:
    """Plain descent as in ``torch.optim.SGD``, written out: what it is compared with calls torch's own function."""
    velocities: dict[nn.Parameter, Tensor] = {}

    @torch.no_grad()
    def descend(params: list[nn.Parameter]) -> None:
        for value in params:
            assert value.grad is not None
            change = value.grad + recipe.weight_decay * value
            if recipe.momentum:
                before = velocities.get(value)
                velocities[value] = change if before is None else recipe.momentum * before + change
                change = change + recipe.momentum * velocities[value] if recipe.nesterov else velocities[value]
            value.sub_(rate * change)

    return descend


@torch.no_grad()
def _with_params(module: nn.Module, params: Tensors, place: int) -> nn.Module:
    """The module with one model's parameters written into its own."""
    for name, value in module.named_parameters():
        if name in params:
            value.copy_(params[name][place])
    return module


@contextmanager
def quietly(network: Network) -> Iterator[None]:
    """Around a trial: the random numbers of training stay as they are, and what is warned of comes when it trains."""
    devices = [network.device] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
