"""The step of a stack of fully connected networks with SGD, compiled: small operations and the update are fused.

A step of a small batch is bound by memory, not by its matrix products: parameters, momentum and their bfloat16 copies
are read and written once here, which takes a compiler (torch.compile, which needs a C++ compiler on a CPU).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from memberwise.errors import TrainingError
from memberwise.training.dense import dense_gradient, dense_layers, dropout_masks, takes_dense
from memberwise.training.job import Job
from memberwise.training.network import Network, Tensors
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State

# What the compiler raises, for want of a C++ compiler or for what it cannot express.
_REFUSALS = (RuntimeError, torch._dynamo.exc.FailOnRecompileLimitHit)


class Compiled:
    """A function of tensors behind the compiler; it is compiled at the first call.

    Raises:
        TrainingError: it cannot be compiled.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._compiled, self._first = torch.compile(function, dynamic=False, fullgraph=True), True

    def __call__(self, *arguments: Any) -> Any:
        if not self._first:
            return self._compiled(*arguments)
        self._first = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own, about parts of torch
            try:
                return self._compiled(*arguments)
            except _REFUSALS:
                torch.compiler.reset()  # what was compiled before for other recipes may have to make room
            try:
                return self._compiled(*arguments)
            except _REFUSALS as error:
                raise TrainingError(
                    "the training step could not be compiled",
                    found=str(error).strip().split("\n")[0],
                    fix="install a C++ compiler (g++), or --set plan.compile=false",
                ) from error


class CompiledStepper:
    """Plain SGD (momentum, Nesterov, weight decay) on a dense stack; see ``stepper.Stepper``.

    A shorter batch (the last of an epoch) is padded behind its mask to the size of the first, so that one program
    takes both; one with a record more goes through the same code as it is written. Parameters and momentum are
    float32, products are in ``network.precision``.
    """

    def __init__(self, job: Job, network: Network, params: Tensors, state: State) -> None:
        self.job, self.precision, self.state = job, network.precision, state
        self.layers = dense_layers(network) or []
        self._params = {name: value.contiguous() for name, value in params.items()}
        self._momentum = {name: torch.zeros_like(value) for name, value in params.items()}
        self._copies = {name: value.to(self.precision) for name, value in params.items()}
        self._compiled, self._size = Compiled(self._advance), 0

    @property
    def params(self) -> Tensors:
        return self._params

    def set_params(self, params: Tensors) -> None:
        for name, value in self._params.items():
            value.copy_(params[name])
            self._copies[name].copy_(value)

    @torch.no_grad()
    def step(self, batch: Batch, keys: Tensor, rate: float) -> Tensor:
        self._size = self._size or batch.x.shape[1]
        size = max(self._size, batch.x.shape[1])
        x = batch.x.flatten(2).to(self.precision)
        mask = x.new_ones(x.shape[:2], dtype=torch.float32) if batch.mask is None else batch.mask
        x, target, mask = (padded(part, size) for part in (x, batch.target, mask))
        masks = dropout_masks(self.layers, keys, size, self._copies)
        advance = self._compiled if size == self._size else self._advance
        losses: Tensor = advance(x, target, mask, masks, torch.tensor(rate, device=x.device))
        return losses

    def _advance(self, x: Tensor, target: Tensor, mask: Tensor, masks: list[Tensor], rate: Tensor) -> Tensor:
        gradient, losses = dense_gradient(
            self.layers, self._copies, x, target, mask, masks, self.job.step.label_smoothing
        )
        descend(self._params, self._momentum, gradient, self.job.recipe, rate)
        for name, value in self._params.items():
            self._copies[name].copy_(value)
        return losses


def descend(params: Tensors, momenta: Tensors, gradient: Tensors, recipe: Recipe, rate: Tensor) -> None:
    """A step of SGD in place, as torch's optimiser takes it."""
    for name, value in params.items():
        change = gradient[name].float()
        if recipe.weight_decay:
            change = change + recipe.weight_decay * value
        if recipe.momentum:
            momentum = momenta[name]
            momentum.mul_(recipe.momentum).add_(change)
            change = change + recipe.momentum * momentum if recipe.nesterov else momentum
        value.sub_(rate * change)


def padded(values: Tensor, size: int) -> Tensor:
    """``(m, size, ...)``: zeros after the ``(m, batch, ...)`` values."""
    missing = size - values.shape[1]
    return functional.pad(values, (0, 0) * (values.dim() - 2) + (0, missing)) if missing else values


def is_usual(batch: Batch, recipe: Recipe) -> bool:
    """The batch has the size for which the step is compiled."""
    return batch.mask is None and batch.x.shape[1] == recipe.batch_size


def takes_compiled(job: Job, network: Network) -> bool:
    """There is a compiled step for this job: plain training of a dense network by SGD without clipping."""
    return is_plain_sgd(job.recipe) and takes_dense(network, job.step)


def is_plain_sgd(recipe: Recipe) -> bool:
    return recipe.optimizer == "sgd" and recipe.clip_norm is None


def can_compile(device: Any) -> bool:
    """A compiler is there."""
    if device.type == "cuda":
        return True
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return bool(get_cpp_compiler())
    except Exception:
        return False
