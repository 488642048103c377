"""Before models train, a few records show that what will train them is the same function as their module.

Two steps are taken from the same weights by a plain loop (the module itself, called and differentiated by torch, and
descent written out) and by each faster way: losses, buffers and what becomes of the parameters must agree. Nothing of
it touches the random numbers of training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from memberwise.errors import MemberwiseError, StudyError
from memberwise.models.network import Network, Tensors
from memberwise.training.job import Job
from memberwise.training.nearness import EXACT, HALF, USUAL, Nearness, far, far_losses
from memberwise.training.step import Step
from memberwise.training.steppers.base import EagerStepper, Stepper, only, start
from memberwise.training.steppers.conv_compiled import CompiledOneStepper, takes_compiled_one
from memberwise.training.steppers.dense import DenseUpdate, dense_layers, why_not_written_out
from memberwise.training.steppers.dense_compiled import CompiledStepper, is_plain_sgd, takes_compiled
from memberwise.training.tensors import DataTensors
from memberwise.training.trial import Taken, Trial, by_the_module, make_trial, models_tried, quietly, rescaled

WRITTEN, COMPILED, COMPILED_ONE, OF_RECORDS, COMPILED_OF_RECORDS, OF_LAYERS = (
    "the written-out step of fully connected networks",
    "the compiled step of fully connected networks",
    "the compiled step of convolutional networks",
    "DP-SGD's written-out step of fully connected networks",
    "DP-SGD's compiled step of fully connected networks",
    "DP-SGD's step by layers",
)
_RAISED = (MemoryError, torch.OutOfMemoryError, MemberwiseError)


def examined(network: Network, job: Job, data: DataTensors, stacked: bool, compiled: bool = False) -> Network:
    """The network with what trials have shown: parameters without a gradient, and whether to go the general way.

    Raises:
        StudyError: the module uses parameters in a way in which none but itself can be trained, or the step cannot
            train such a module.
    """
    tried = _against_module(network, job, data, stacked)
    if tried.reason is not None:
        raise StudyError(
            "the model is another function when its parameters are handed to it, as training does",
            expected="a module that uses the parameters and buffers which it has registered, by their attributes",
            found=tried.reason,
            where="model.name",
            fix="no parameters in lists or closures, none that share memory, no hooks after a gradient is accumulated",
        )
    known = copy.copy(network)
    known.idle = tried.idle
    _let_step_examine(known, job, data)
    known.general = network.general or why_general(known, job, data, stacked, compiled) is not None
    return known


def why_not_the_same(network: Network, job: Job, data: DataTensors, stacked: bool) -> str | None:
    """How models trained by the general path differ from the module itself; None where they do not."""
    return _against_module(network, job, data, stacked).reason


def why_general(network: Network, job: Job, data: DataTensors, stacked: bool, compiled: bool) -> str | None:
    """Which written-out or compiled step of this job is given up for this network, and why; None for none."""
    path = _path(network, job, stacked, compiled)
    if path is None:
        return None
    recipe = (job.recipe.optimizer, job.recipe.momentum, job.recipe.nesterov, job.recipe.weight_decay)
    key = (path, type(job.step), stacked, network.precision, network.memory_format, recipe, *_loss_of(job))
    if key not in network.trials:
        network.trials[key] = _why_given_up(path, network, job, data, stacked)
    reason = network.trials[key]
    return (
        None if reason is None else f"models train by the general path, which is slower: {path} is given up ({reason})"
    )


def _path(network: Network, job: Job, stacked: bool, compiled: bool) -> str | None:
    """The way beside the general one that would train this job, were nothing about the network unusual."""
    dense = dense_layers(network) is not None or why_not_written_out(network.module) is not None
    if job.step.written_out and dense:
        takes = compiled and stacked and takes_compiled(job, network)
        return COMPILED_OF_RECORDS if takes else OF_RECORDS
    if job.step.goes_by_layers(network):
        return OF_LAYERS
    if compiled and not stacked and takes_compiled_one(job, network):
        return COMPILED_ONE
    if not (stacked and type(job.step) is Step and dense):
        return None
    if compiled and is_plain_sgd(job.recipe):
        return COMPILED
    # In float32 what is unusual about a module is no news: it is worth a word where much time is lost by it.
    return WRITTEN if network.precision is torch.bfloat16 or dense_layers(network) is not None else None


def _loss_of(job: Job) -> tuple[float, bool]:
    """What of a job the loss depends on: label smoothing, soft targets."""
    return job.step.label_smoothing, job.targets is not None and job.targets.ndim > 1


@dataclass(frozen=True)
class _Tried:
    """How the general path differs from the module (or None), and trainable parameters without a gradient."""

    reason: str | None
    idle: frozenset[str] = frozenset()


def _against_module(network: Network, job: Job, data: DataTensors, stacked: bool) -> _Tried:
    key = ("module", stacked, *_loss_of(job))
    if key not in network.trials:
        plain = replace(job, step=Step(job.step.label_smoothing))
        network.trials[key] = _try_general_path(network, plain, data, stacked)
    tried: _Tried = network.trials[key]
    return tried


def _try_general_path(network: Network, job: Job, data: DataTensors, stacked: bool) -> _Tried:
    idle: frozenset[str] = frozenset()
    try:
        with quietly(network):
            trial = make_trial(network, job, data, models_tried(network, stacked))
            expected, idle = by_the_module(trial)
            base = trial.network.generally()
            base.idle = idle
            reason = _difference(EagerStepper(trial.jobs, base, stacked), trial, expected, USUAL)
            if reason is not None and not _repeats(trial, expected):
                reason = None  # one that never does the same twice cannot be compared
    except _RAISED:
        raise
    except Exception:  # what the module raises, training raises in its place
        return _Tried(None, idle)
    return _Tried(reason, idle)


def _repeats(trial: Trial, expected: Sequence[Taken]) -> bool:
    again, _ = by_the_module(trial)
    return all(_unlike(now, before, USUAL, trial.params) is None for now, before in zip(again, expected, strict=True))


def _let_step_examine(network: Network, job: Job, data: DataTensors) -> None:
    """Let the step refuse a module which it would not train rightly."""
    key = ("examined", type(job.step))
    if type(job.step).examine is Step.examine or key in network.trials:
        return
    with quietly(network):
        trial = make_trial(network, job, data, 1)
        batch, keys = trial.batches[0]
        state = start(trial.jobs, trial.network)[1]
        job.step.examine(trial.network, only(trial.params), only(state), only(batch), keys[0])
    network.trials[key] = None


def _why_given_up(path: str, network: Network, job: Job, data: DataTensors, stacked: bool) -> str | None:
    unusual = None if path in (COMPILED_ONE, OF_LAYERS) else why_not_written_out(network.module)
    if unusual is not None:
        return unusual
    try:
        with quietly(network):
            return _how_it_differs(path, network, replace(job, step=job.step.without_noise()), data, stacked)
    except _RAISED:
        raise
    except Exception as error:
        first = str(error).strip().partition("\n")[0][:200]
        return f"it fails or cannot be compared ({type(error).__name__}: {first})"


def _how_it_differs(path: str, network: Network, job: Job, data: DataTensors, stacked: bool) -> str | None:
    trial = make_trial(network, job, data, models_tried(network, stacked))
    if path in (OF_RECORDS, COMPILED_OF_RECORDS, OF_LAYERS):
        trial, expected = _by_the_general_path(trial, stacked)
    else:
        expected = by_the_module(trial)[0]
    if not all(taken.is_finite for taken in expected):
        return "its figures are no numbers"
    layout = torch.contiguous_format if stacked else network.memory_format
    base = trial.network.computing(torch.float32, layout)
    exact = USUAL if path is COMPILED_ONE else EXACT
    reason = _difference(_stepper(path, trial, base, stacked), trial, expected, exact)
    if reason is not None or network.precision is torch.float32:
        return reason
    base = base.computing(network.precision, layout)
    rough = list(_steps(EagerStepper(trial.jobs, base.generally(), stacked), trial))
    reason = _difference(_stepper(path, trial, base, stacked), trial, expected, HALF, rough)
    return None if reason is None else f"{reason} in {str(network.precision).removeprefix('torch.')}"


def _by_the_general_path(trial: Trial, stacked: bool) -> tuple[Trial, list[Taken]]:
    """The steps of a step with an update of its own, and the trial at a rate that makes them large enough to see."""

    def steps(trial: Trial) -> Iterator[Taken]:
        return _steps(EagerStepper(trial.jobs, trial.network.generally(), stacked), trial)

    changes = next(steps(trial)).changes
    rate = rescaled(trial.rate, [value[0] for value in trial.params.values()], [value[0] for value in changes.values()])
    trial = replace(trial, rate=rate)
    return trial, list(steps(trial))


def _stepper(path: str, trial: Trial, network: Network, stacked: bool) -> Stepper:
    """What trains the trial's jobs on this path, not compiled: a program is compared when it has been compiled."""
    job = trial.jobs[0]
    if path in (COMPILED, COMPILED_OF_RECORDS):
        return CompiledStepper(job, network, *start(trial.jobs, network), compiles=False)
    if path is COMPILED_ONE:
        return CompiledOneStepper(job, network, *start(trial.jobs, network), compiles=False)
    written = DenseUpdate(network, job.step, network.precision) if path is WRITTEN else None
    return EagerStepper(trial.jobs, network, stacked, written)


def _steps(stepper: Stepper, trial: Trial) -> Iterator[Taken]:
    """Each batch's step from the trial's parameters."""
    for batch, keys in trial.batches:
        stepper.set_params(trial.params)
        losses = stepper.step(batch, keys, trial.rate)
        changes = {name: value - trial.params[name] for name, value in stepper.params.items()}
        yield Taken(losses, changes, {name: value.clone() for name, value in stepper.state.buffers.items()})


def _difference(
    stepper: Stepper, trial: Trial, expected: Sequence[Taken], near: Nearness, rough: Sequence[Taken] | None = None
) -> str | None:
    """How the stepper's steps differ from those expected, or None.

    Args:
        rough: the general path's steps in the stepper's precision.
    """
    for place, ((batch, _), taken) in enumerate(zip(trial.batches, _steps(stepper, trial), strict=True)):
        changes = None if rough is None else rough[place].changes
        unlike = _unlike(taken, expected[place], near, trial.params, changes)
        if unlike is not None:
            return f"{unlike} of {'a' if batch.mask is None else 'a short'} batch is not the module's"
    return None


def _unlike(taken: Taken, right: Taken, near: Nearness, begin: Tensors, rough: Tensors | None = None) -> str | None:
    """What differs, or None; figures that are no numbers in the module itself prove nothing against it."""
    if not right.is_finite:
        return None
    if far_losses(taken.losses, right.losses, near):
        return "the loss"
    name = far(taken.changes, right.changes, near, begin, rough)
    if name is not None:
        return f"the gradient by {name}"
    name = far(taken.buffers, right.buffers, near)
    return None if name is None else f"the buffer {name}"
