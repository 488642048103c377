"""The step of one convolutional network with SGD, compiled: convolutions stay torch's, all around them is fused."""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

import torch
from torch import Tensor

from memberwise.models.layer_kinds import BATCH_NORMS
from memberwise.models.network import Network, Tensors
from memberwise.training.job import Job
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step, plain_update
from memberwise.training.steppers.dense_compiled import (
    MISCOMPILED,
    TRIAL_RATE,
    cannot_compile,
    descend,
    is_plain_sgd,
    is_same,
)
from memberwise.training.steppers.pooling import as_fused, is_sliceable
from memberwise.types.foreign import Factory

# Operations in all (hours of training) from which minutes of compiling a deep network are little.
WORTH_COMPILING_DEEP = 1e15


def refusals() -> tuple[type[Exception], ...]:
    """What the compiler raises, for want of a C++ compiler or for what it cannot express.

    One of them has a private name; where that is gone, it is a RuntimeError, as the others are, or comes through.
    """
    raised = sys.modules.get("torch._dynamo.exc")  # where nothing was compiled, torch's compiler stays unimported
    refusal = getattr(raised, "FailOnRecompileLimitHit", RuntimeError)
    return RuntimeError, refusal


class Compiled:
    """A function of tensors behind the compiler; it is compiled at the first call.

    Raises:
        TrainingError: it cannot be compiled.
    """

    def __init__(self, function: Factory) -> None:
        self._compiled, self._first = torch.compile(function, dynamic=False, fullgraph=True), True

    def __call__(self, *arguments: object) -> Any:
        if not self._first:
            return self._compiled(*arguments)
        self._first = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own, about parts of torch
            try:
                return self._compiled(*arguments)
            except refusals():
                torch.compiler.reset()  # what was compiled before for other recipes may have to make room
            try:
                return self._compiled(*arguments)
            except refusals() as error:
                raise cannot_compile(error) from error


class CompiledOneStepper:
    """Plain SGD (momentum, Nesterov, weight decay) on a single model; see ``stepper.Stepper``.

    The usual batch goes through compiled code, in which max-pooling is written as slices; batches of another size (the
    last of an epoch) through ordinary autograd.

    Args:
        compiles: False takes the step as it is written: the same figures, slower.
    """

    def __init__(self, job: Job, network: Network, params: Tensors, state: State, compiles: bool = True) -> None:
        self.job, self.network, self.state = job, network, state
        self.sliced = copy.copy(network)
        self.sliced.module = as_fused(network.module)
        self._params = {name: value[0] for name, value in params.items()}
        self._own = {name: value[0] for name, value in state.own.items()}
        self._momentum = {name: torch.zeros_like(value) for name, value in self._params.items()}
        self._compiled = Compiled(self._advance) if compiles else self._advance
        self._proven, self.given_up = not compiles, False

    @property
    def params(self) -> Tensors:
        return {name: value.unsqueeze(0) for name, value in self._params.items()}

    def set_params(self, params: Tensors) -> None:
        for name, value in self._params.items():
            value.copy_(params[name][0])

    def step(self, batch: Batch, keys: Tensor, rate: float) -> Tensor:
        """One step of the one model at this learning rate; its loss, ``(1,)``."""
        one = Batch(*(None if part is None else part[0] for part in batch))  # type: ignore[arg-type]
        at, buffers = torch.tensor(rate, device=batch.x.device), self.state.buffers
        buffers = {name: value[0] for name, value in buffers.items()}
        if is_usual(batch, self.job.recipe) and self._is_same(one, keys[0], buffers, at):
            loss, buffers, own = self._compiled(one, keys[0], buffers, at)
        else:
            gradient, loss, after = plain_update(
                self.job.step, self.network, self._params, State(buffers, self._own), one, keys[0]
            )
            descend(self._params, self._momentum, gradient, self.job.recipe, at)
            buffers, own = after
        kept = ({name: value.unsqueeze(0) for name, value in part.items()} for part in (buffers, own))
        self.state = State(*kept)
        losses: Tensor = loss[None]
        return losses

    def _advance(self, batch: Batch, key: Tensor, buffers: Tensors, rate: Tensor) -> tuple[Tensor, Tensors, Tensors]:
        step, state = self.job.step, State(buffers, self._own)
        if torch.compiler.is_compiling():
            gradient, loss, after = step.update(self.sliced, self._params, state, batch, key)
        else:
            gradient, loss, after = plain_update(step, self.sliced, self._params, state, batch, key)
        descend(self._params, self._momentum, gradient, self.job.recipe, rate)
        return loss, after.buffers, after.own

    def _is_same(self, batch: Batch, key: Tensor, buffers: Tensors, rate: Tensor) -> bool:
        """The compiled step changes parameters as the step does from which it was compiled; tried once a network."""
        trials, recipe = self.network.trials, self.job.recipe
        tried = ("compiled", self.network.precision, batch.x.shape, recipe, self.job.step.label_smoothing)
        if not self._proven and tried not in trials:
            trials[tried] = self._tried(batch, key, buffers, torch.full_like(rate, TRIAL_RATE))
            if not trials[tried]:
                self.network.notes[MISCOMPILED] = None
        self._proven = self._proven or trials[tried]
        self.given_up = not self._proven
        return self._proven

    def _tried(self, batch: Batch, key: Tensor, buffers: Tensors, rate: Tensor) -> bool:
        start = {name: value.clone() for name, value in self._params.items()}
        momentum = {name: value.clone() for name, value in self._momentum.items()}
        losses, changes, precision = [], [], self.sliced.precision
        for function, computing in (
            (self._advance, torch.float32),
            (self._advance, precision),
            (self._compiled, precision),
        ):
            self.sliced.precision = computing
            losses.append(function(batch, key, dict(buffers), rate)[0][None])
            changes.append({name: (value - start[name])[None] for name, value in self._params.items()})
            for name, value in start.items():
                self._params[name].copy_(value)
                self._momentum[name].copy_(momentum[name])
        return is_same(changes, losses, precision, {name: value[None] for name, value in start.items()})


def is_usual(batch: Batch, recipe: Recipe) -> bool:
    """The batch has the size for which the step is compiled."""
    return batch.mask is None and batch.x.shape[1] == recipe.batch_size


def takes_compiled_one(job: Job, network: Network) -> bool:
    """There is a compiled step for this single model: plain training by SGD of a network that convolves, on a CPU."""
    plain = type(job.step) is Step and is_plain_sgd(job.recipe)
    general = network.general or bool(network.idle)
    return plain and network.convolves and network.device.type == "cpu" and not general


def gains_compiled(job: Job, network: Network, operations: float) -> bool:
    """The compiled step can be faster: there is pooling; or, with this much to do, batch normalisation.

    The latter's networks are deep: they take minutes to compile, and convolutions are most of what they do.
    """
    parts = list(network.module.modules())
    normalises = any(isinstance(part, BATCH_NORMS) for part in parts)
    gains = operations >= WORTH_COMPILING_DEEP if normalises else any(map(is_sliceable, parts))
    return takes_compiled_one(job, network) and gains
