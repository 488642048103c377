"""Before models train, a few records show that what will train them is the same function as their module.

Two steps are taken from the same weights by a plain loop (the module itself, called and differentiated by torch, and
torch's optimiser) and by each faster way: losses, buffers and what becomes of the parameters must agree. Nothing of it
touches the random numbers of training.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from memberwise.errors import MemberwiseError, StudyError
from memberwise.training.compiled import CompiledStepper, is_plain_sgd
from memberwise.training.compiled_one import CompiledOneStepper, takes_compiled_one
from memberwise.training.dense import DenseUpdate, dense_layers, why_not_written_out
from memberwise.training.job import Job
from memberwise.training.nearness import EXACT, HALF, USUAL, Nearness, far, far_losses
from memberwise.training.network import Network, Tensors
from memberwise.training.randomness import KeyedDropout, seed_torch, step_keys
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, Step
from memberwise.training.stepper import EagerStepper, Stepper, only, stack_models, start
from memberwise.training.tensors import DataTensors

# Models tried together, records in a batch, and how many of them are real in the second, which is a short one.
MODELS, RECORDS, REAL = 3, 8, 5
# A step changes parameters by this share of their size: enough to see above rounding.
CHANGE = 0.1
_PASSED = (MemoryError, torch.OutOfMemoryError, MemberwiseError)
WRITTEN, COMPILED, COMPILED_ONE, OF_RECORDS = (
    "the written-out step of fully connected networks",
    "the compiled step of fully connected networks",
    "the compiled step of convolutional networks",
    "the written-out record gradients of fully connected networks",
)


@dataclass(frozen=True)
class Taken:
    """One step of ``m`` models: ``(m,)`` losses before it, changes of parameters by name, buffers after it."""

    losses: Tensor
    changes: Tensors
    buffers: Tensors


@dataclass(frozen=True)
class Trial:
    """What the models of a trial begin with and see.

    Attributes:
        jobs: one a model, by SGD; ``params``: ``(m, ...)`` where each step of it begins.
        batches: each with the ``(m,)`` keys of its step; ``rate``: the learning rate.
    """

    jobs: list[Job]
    network: Network
    params: Tensors
    batches: list[tuple[Batch, Tensor]]
    rate: float


def examined(network: Network, job: Job, data: DataTensors, stacked: bool, compiled: bool = False) -> Network:
    """The network with what a trial has shown: parameters without a gradient, and whether to go the general way.

    Raises:
        StudyError: the module uses parameters in a way in which none but itself can be trained.
    """
    tried = _of_module(network, job, data, stacked)
    if tried.reason is not None:
        raise StudyError(
            "the model trains as another function when its parameters are handed to it",
            expected="a module that uses the parameters and buffers which it has registered, by their attributes",
            found=tried.reason,
            where="model.name",
            fix="no parameters in lists or closures, none that share memory, no hooks after a gradient is accumulated",
        )
    other = copy.copy(network)
    other.idle = tried.idle
    _examine(other, job, data)
    other.general = network.general or why_general(other, job, data, stacked, compiled) is not None
    return other


def _examine(network: Network, job: Job, data: DataTensors) -> None:
    """Let the step refuse a module which it would not train rightly."""
    key = ("examined", type(job.step))
    if type(job.step).examine is Step.examine or key in network.trials:
        return
    with _quietly(network):
        trial = _trial(network, job, data, 1)
        batch, keys = trial.batches[0]
        state = start(trial.jobs, trial.network)[1]
        job.step.examine(trial.network, only(trial.params), only(state), only(batch), keys[0])
    network.trials[key] = None


def why_not_the_same(network: Network, job: Job, data: DataTensors, stacked: bool) -> str | None:
    """How models trained by the general path differ from the module itself; None where they do not."""
    return _of_module(network, job, data, stacked).reason


def why_general(network: Network, job: Job, data: DataTensors, stacked: bool, compiled: bool) -> str | None:
    """Which written-out or compiled step of this job is given up for this network, and why; None for none."""
    path = _path(network, job, stacked, compiled)
    if path is None:
        return None
    key = (path, *_key(network, job, stacked))
    if key not in network.trials:
        network.trials[key] = _why_given_up(path, network, job, data, stacked)
    reason = network.trials[key]
    return None if reason is None else f"{path} is given up for the slower general one: {reason}"


def _path(network: Network, job: Job, stacked: bool, compiled: bool) -> str | None:
    """The way beside the general one that would train this job, were the network plain."""
    plain = type(job.step) is Step
    dense = dense_layers(network) is not None or why_not_written_out(network.module) is not None
    if job.step.written_out and dense:
        return OF_RECORDS
    if compiled and not stacked and takes_compiled_one(job, network):
        return COMPILED_ONE
    if not (stacked and plain and dense):
        return None
    if compiled and is_plain_sgd(job.recipe):
        return COMPILED
    return WRITTEN if network.precision is torch.bfloat16 else None


def _key(network: Network, job: Job, stacked: bool) -> tuple[Any, ...]:
    recipe = (job.recipe.optimizer, job.recipe.momentum, job.recipe.nesterov, job.recipe.weight_decay)
    soft = job.targets is not None and job.targets.ndim > 1
    step = (type(job.step), job.step.label_smoothing)
    return (*step, stacked, network.precision, network.memory_format, network.general, recipe, soft)


@dataclass(frozen=True)
class _Module:
    """How the general path differs from the module (or None), and trainable parameters without a gradient."""

    reason: str | None
    idle: frozenset[str] = frozenset()


def _of_module(network: Network, job: Job, data: DataTensors, stacked: bool) -> _Module:
    key = ("module", stacked, job.step.label_smoothing, job.targets is not None and job.targets.ndim > 1)
    if key not in network.trials:
        network.trials[key] = _compare_with_module(network, job, data, stacked)
    found: _Module = network.trials[key]
    return found


def _compare_with_module(network: Network, job: Job, data: DataTensors, stacked: bool) -> _Module:
    plain = replace(job, step=Step(job.step.label_smoothing))
    idle: frozenset[str] = frozenset()
    try:
        with _quietly(network):
            trial = _trial(network, plain, data, MODELS if stacked else 1)
            expected, idle = _by_the_module(trial)
            base = trial.network.generally()
            base.idle = idle
            reason = _difference(EagerStepper(trial.jobs, base, stacked), trial, expected, USUAL)
            if reason is not None and not _repeats(trial, expected):
                reason = None  # one that never does the same twice cannot be compared
    except _PASSED:
        raise
    except Exception:  # what the module raises, training raises in its place
        return _Module(None, idle)
    return _Module(reason, idle)


def _repeats(trial: Trial, expected: Sequence[Taken]) -> bool:
    again, _ = _by_the_module(trial)
    return all(_unlike(now, before, USUAL, trial.params) is None for now, before in zip(again, expected, strict=True))


def _why_given_up(path: str, network: Network, job: Job, data: DataTensors, stacked: bool) -> str | None:
    unusual = None if path is COMPILED_ONE else why_not_written_out(network.module)
    if unusual is not None:
        return unusual
    try:
        with _quietly(network):
            return _how_it_differs(path, network, replace(job, step=job.step.without_noise()), data, stacked)
    except _PASSED:
        raise
    except Exception as error:
        return f"it fails or cannot be compared ({_first(error)})"


def _how_it_differs(path: str, network: Network, job: Job, data: DataTensors, stacked: bool) -> str | None:
    trial = _trial(network, job, data, MODELS if stacked else 1)
    if path is OF_RECORDS:
        trial, expected = _by_the_general_path(trial, stacked)
    else:
        expected = _by_the_module(trial)[0]
    if not all(map(_is_finite, expected)):
        return "its figures are no numbers"
    halves = (torch.bfloat16,) if network.precision is torch.bfloat16 else ()
    for precision in (torch.float32, *halves):
        layout = torch.contiguous_format if stacked else network.memory_format
        stepper = _stepper(path, trial, trial.network.computing(precision, layout), stacked)
        reason = _difference(stepper, trial, expected, EXACT if precision is torch.float32 else HALF)
        if reason is not None:
            return f"{reason} (in {str(precision).removeprefix('torch.')})"
    return None


def _stepper(path: str, trial: Trial, network: Network, stacked: bool) -> Stepper:
    """What trains the trial's jobs on this path, not compiled: a program is compared when it has been compiled."""
    job = trial.jobs[0]
    if path is COMPILED:
        return CompiledStepper(job, network, *start(trial.jobs, network), compiles=False)
    if path is COMPILED_ONE:
        return CompiledOneStepper(job, network, *start(trial.jobs, network), compiles=False)
    written = DenseUpdate(network, job.step, network.precision) if path is WRITTEN else None
    return EagerStepper(trial.jobs, network, stacked, written)


def _difference(stepper: Stepper, trial: Trial, expected: Sequence[Taken], near: Nearness) -> str | None:
    """How the stepper's steps differ from those expected, or None."""
    for number, (taken, wanted) in enumerate(zip(_steps(stepper, trial), expected, strict=True)):
        unlike = _unlike(taken, wanted, near, trial.params)
        if unlike is not None:
            return f"{unlike} of {'a short' if number else 'a'} batch differs from the module's"
    return None


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _unlike(taken: Taken, wanted: Taken, near: Nearness, begin: Tensors) -> str | None:
    """What differs, or None; figures that are no numbers in the module itself prove nothing against it."""
    if not _is_finite(wanted):
        return None
    if far_losses(taken.losses, wanted.losses, near):
        return "the loss"
    name = far(taken.changes, wanted.changes, near, begin)
    if name is not None:
        return f"the gradient by {name}"
    name = far(taken.buffers, wanted.buffers, near)
    return None if name is None else f"the buffer {name}"


def _is_finite(taken: Taken) -> bool:
    return all(bool(value.isfinite().all()) for value in (taken.losses, *taken.changes.values()))


def _steps(stepper: Stepper, trial: Trial) -> Iterator[Taken]:
    """Each batch's step from the trial's parameters; momentum and buffers go on."""
    for batch, keys in trial.batches:
        stepper.set_params(trial.params)
        losses = stepper.step(batch, keys, trial.rate)
        changes = {name: value - trial.params[name] for name, value in stepper.params.items()}
        yield Taken(losses, changes, {name: value.clone() for name, value in stepper.state.buffers.items()})


def _by_the_general_path(trial: Trial, stacked: bool) -> tuple[Trial, list[Taken]]:
    """The steps of a step with an update of its own, and the trial at a rate which makes them large enough to see."""
    first = next(_steps(EagerStepper(trial.jobs, trial.network.generally(), stacked), trial))
    size, change = (torch.stack([v[0].norm() for v in part.values()]).norm() for part in (trial.params, first.changes))
    trial = replace(trial, rate=trial.rate * float(CHANGE * size / change.clamp(min=1e-12)))
    return trial, list(_steps(EagerStepper(trial.jobs, trial.network.generally(), stacked), trial))


def _by_the_module(trial: Trial) -> tuple[list[Taken], frozenset[str]]:
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
    network, job = trial.network, trial.jobs[place]
    module = network.made(job.seed)
    module.train()
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    optimiser = _sgd(job.recipe, list(trained.values()), trial.rate)
    steps, idle = [], frozenset(trained)
    for batch, keys in trial.batches:
        _with_params(module, trial.params, place)
        loss = _loss(module, network, job.step.label_smoothing, only(batch_of(batch, place)), keys[place])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        idle &= {name for name, value in trained.items() if value.grad is None}
        optimiser.step()
        changes = {name: value.detach() - trial.params[name][place] for name, value in trained.items()}
        constant = [(name, value) for name, value in module.named_parameters() if name not in trained]
        buffers = {name: value.detach().clone() for name, value in [*constant, *module.named_buffers()]}
        steps.append(Taken(loss.detach(), changes, buffers))
    return steps, idle


def batch_of(batch: Batch, place: int) -> Batch:
    """One model's part of a batch, as a stack of one."""
    return Batch(*(None if part is None else part[place : place + 1] for part in batch))  # type: ignore[arg-type]


def _loss(module: nn.Module, network: Network, smoothing: float, batch: Batch, key: Tensor) -> Tensor:
    seed_torch(int(key), network.device)
    with KeyedDropout(key) if network.drops else nullcontext():
        logits = module(batch.x)
    losses = functional.cross_entropy(logits, batch.target, reduction="none", label_smoothing=smoothing)
    if batch.mask is None:
        return losses.mean()
    loss: Tensor = (losses * batch.mask).sum() / batch.mask.sum().clamp(min=1)
    return loss


def _sgd(recipe: Recipe, params: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    how = {"momentum": recipe.momentum, "nesterov": recipe.nesterov, "weight_decay": recipe.weight_decay}
    return torch.optim.SGD(params, lr=rate, foreach=False, **how)  # type: ignore[arg-type]


@torch.no_grad()
def _with_params(module: nn.Module, params: Tensors, place: int) -> nn.Module:
    """The module with one model's parameters written into its own."""
    for name, value in module.named_parameters():
        if name in params:
            value.copy_(params[name][place])
    return module


def _trial(network: Network, job: Job, data: DataTensors, models: int) -> Trial:
    """A trial of this many models with weights of their own, each near to an initialisation of the module."""
    recipe = replace(job.recipe, clip_norm=None, batch_size=RECORDS)
    if recipe.optimizer != "sgd":  # the others are torch's own, whose steps are larger where gradients are but rounding
        recipe = replace(recipe, optimizer="sgd", momentum=0.9, nesterov=False)
    rows = np.arange(min(RECORDS, len(job.rows)))
    jobs = [
        replace(job, rows=job.rows[rows], recipe=recipe, seed=seed, targets=None, init=None, records=None)
        for seed in range(1, models + 1)
    ]
    base = network.fresh(jobs[0].seed).computing(torch.float32, torch.contiguous_format)
    base.general, base.idle = False, frozenset()
    rng = torch.Generator().manual_seed(0)
    params = {name: _moved(value, rng) for name, value in stack_models([base.init(j.seed)[0] for j in jobs]).items()}
    trial = Trial(jobs, base, params, _batches(base, job, data, models, rng), 1.0)
    return replace(trial, rate=_rate(trial))


def _moved(value: Tensor, rng: torch.Generator) -> Tensor:
    """Numbers that no module holds by chance: each off by some tenths of itself, and zeros by some hundredths."""
    noise = torch.randn(value.shape, generator=rng).to(value)
    return torch.where(value == 0, 0.03 * noise, value * (1 + 0.3 * noise))


def _batches(
    network: Network, job: Job, data: DataTensors, models: int, rng: torch.Generator
) -> list[tuple[Batch, Tensor]]:
    """A full batch and a short one of real records, with noise where any numbers will do, and random targets."""
    made = []
    keys = torch.stack([step_keys(seed, 2) for seed in range(1, models + 1)]).to(network.device)
    for number in range(2):
        source = data if job.records is None else DataTensors.of(job.records, np.zeros(0, np.int64), 1, network.device)
        rows = torch.from_numpy(job.rows)[torch.randint(len(job.rows), (models, RECORDS), generator=rng)]
        x = source.records(rows.to(network.device)).to(network.device)
        if dense_layers(network) is not None:
            x = x + (x.std() + 1) * torch.randn(x.shape, generator=rng).to(x)
        target = torch.randint(data.classes, (models, RECORDS), generator=rng)
        if job.targets is not None and job.targets.ndim > 1:
            target = torch.randn((models, RECORDS, data.classes), generator=rng).softmax(-1)
        mask = (torch.arange(RECORDS) < REAL - torch.arange(models)[:, None]).float().to(network.device)
        ids, epoch = torch.arange(RECORDS).expand(models, RECORDS), torch.zeros(models, dtype=torch.long)
        ids, epoch = ids.to(network.device), epoch.to(network.device)
        made.append((Batch(x, target.to(network.device), ids, mask if number else None, epoch), keys[:, number]))
    return made


def _rate(trial: Trial) -> float:
    """The learning rate at which the first model's first step changes its parameters by a tenth of their size."""
    module = _with_params(trial.network.made(trial.jobs[0].seed), trial.params, 0)
    module.train()
    batch, keys = trial.batches[0]
    loss = _loss(module, trial.network, trial.jobs[0].step.label_smoothing, only(batch_of(batch, 0)), keys[0])
    trained = [value for value in module.parameters() if value.requires_grad]
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    size = torch.stack([value.detach().norm() for value in trained]).norm()
    steep = torch.stack([g.norm() for g in gradients if g is not None]).norm()
    return float(CHANGE * size / steep) if float(steep) > 0 else CHANGE


@contextmanager
def _quietly(network: Network) -> Iterator[None]:
    """Around a trial: the random numbers of training stay as they are, and what is warned of comes when it trains."""
    devices = [network.device] if network.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
