"""The step of a stack of fully connected networks with SGD, compiled: small operations and the update are fused.

A step of a small batch is bound by memory, not by its matrix products: parameters, momentum and their bfloat16 copies
are read and written once here, which takes a compiler (torch's, which needs a C++ compiler on a CPU).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import ceil, sqrt

import torch
from torch import Tensor
from torch.nn import functional

from memberwise.errors import TrainingError
from memberwise.models.network import Network, Tensors
from memberwise.training.job import Job
from memberwise.training.nearness import far, far_losses, nearness
from memberwise.training.recipe import Recipe
from memberwise.training.step import LOSSES, Batch, State
from memberwise.training.steppers.dense import dense_layers, dropout_masks, gradient_of, takes_dense
from memberwise.types.foreign import Factory

Program = Factory
# The learning rate with which a program is tried.
TRIAL_RATE = 0.01
MISCOMPILED = "the compiled step was given up: it does not train what it was compiled from"


class CompiledStepper:
    """Plain SGD (momentum, Nesterov, weight decay) on a dense stack; see ``stepper.Stepper``.

    A shorter batch (the last of an epoch) is padded behind its mask to the size of the first, so that one program
    takes both; one with a record more goes through the same code as it is written. Parameters and momentum are
    float32, products are in ``network.precision``.

    Args:
        compiles: False takes the step as it is written: the same figures, slower.
    """

    def __init__(self, job: Job, network: Network, params: Tensors, state: State, compiles: bool = True) -> None:
        self.job, self.network, self.state, self.compiles = job, network, state, compiles
        self.layers = dense_layers(network) or []
        self._params = {name: value.contiguous() for name, value in params.items()}
        momentum = [torch.zeros_like(value) for value in params.values()]
        # Never the parameters themselves: a program takes what is one tensor at first for one tensor ever after.
        self._copies = {name: value.to(network.precision, copy=True) for name, value in params.items()}
        self._own = [*self._params.values(), *momentum, *self._copies.values()]
        self._program: Program | None = None
        self._size = usual_size(job) if job.step.poisson else 0

    @property
    def params(self) -> Tensors:
        return self._params

    def set_params(self, params: Tensors) -> None:
        for name, value in self._params.items():
            value.copy_(params[name])
            self._copies[name].copy_(value)

    @torch.no_grad()
    def step(self, batch: Batch, keys: Tensor, rate: float) -> Tensor:
        """One step of every model at this learning rate; the ``(m,)`` losses."""
        self._size = self._size or batch.x.shape[1]
        size = max(self._size, batch.x.shape[1])
        x = batch.x.flatten(2).to(self.network.precision)
        mask = x.new_ones(x.shape[:2], dtype=torch.float32) if batch.mask is None else batch.mask
        x, target, mask = (padded(part, size) for part in (x, batch.target, mask))
        masks = dropout_masks(self.layers, keys, size, self._copies)
        arguments = [*self._own, x, target, mask, torch.tensor(rate, device=x.device), keys.contiguous(), *masks]
        program: Program = self._advance
        if size <= self._size and self.compiles:
            program = self._program = self._program or self._compiled(arguments) or self._advance
        losses: Tensor
        losses, each = program(*arguments)
        if LOSSES in self.state.own:
            self.state = self.state._replace(own={LOSSES: each[:, : batch.x.shape[1]]})
        return losses

    def _compiled(self, arguments: Sequence[Tensor]) -> Program | None:
        """The step for arguments of these shapes: compiled once for a network, recipe, stack and batch.

        None where the program does something else than what it was compiled from.
        """
        recipe, shapes = self.job.recipe, tuple((tuple(value.shape), value.dtype) for value in arguments)
        step = (type(self.job.step), *sorted(vars(self.job.step).items()))
        key = (shapes, recipe.momentum, recipe.nesterov, recipe.weight_decay, step)
        if key not in self.network.programs:
            program = compiled(self._advance, arguments)
            same = self._is_same(program, arguments)
            self.network.programs[key] = program if same else None
            if not same:
                self.network.notes[MISCOMPILED] = None
        return self.network.programs[key]

    def _is_same(self, program: Program, arguments: Sequence[Tensor]) -> bool:
        """The program changes parameters as the step does from which it was compiled, on copies of these arguments."""
        names, rate = list(self._params), 3 * len(self._params) + 3
        start = dict(zip(names, arguments, strict=False))
        full = [value.float() if value.is_floating_point() else value for value in arguments]
        changes, losses = [], []
        for function, values in ((self._advance, full), (self._advance, arguments), (program, arguments)):
            copies = [value.clone() for value in values]
            copies[rate].fill_(TRIAL_RATE)
            losses.append(function(*copies)[0])
            changes.append({name: after - start[name] for name, after in zip(names, copies, strict=False)})
        return is_same(changes, losses, self.network.precision, start)

    def _advance(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
        """One step in place, the losses of models and of records; see ``step`` for the order of arguments."""
        count = len(self._params)
        params, momenta, copies = (
            dict(zip(self._params, arguments[k * count : (k + 1) * count], strict=True)) for k in range(3)
        )
        x, target, mask, rate, keys, *masks = arguments[3 * count :]
        gradient, losses, each = gradient_of(
            self.job.step, self.layers, copies, x, target, mask, masks, keys, together=True
        )
        descend(params, momenta, gradient, self.job.recipe, rate)
        for name, value in params.items():
            copies[name].copy_(value)
        return losses, each


def is_same(changes: Sequence[Tensors], losses: Sequence[Tensor], precision: torch.dtype, start: Tensors) -> bool:
    """A compiled step is what it was compiled from.

    Args:
        changes: of parameters, ``(m, ...)``: by the code in float32, by the code in this precision, by the program.
        losses: ``(m,)``, likewise.
    """
    expected, rough, values = changes
    near = nearness(precision)
    return far(values, expected, near, start, rough) is None and not far_losses(losses[2], losses[1], near)


def compiled(function: Factory, arguments: Sequence[Tensor]) -> Program:
    """A function of tensors, which may change them in place, as a program for tensors of these shapes.

    What ``torch.compile`` looks at anew in every call is known here, which is worth a tenth of a small step.

    Args:
        arguments: one for each of the function's, ``(...,)`` of any shape.

    Raises:
        TrainingError: it cannot be compiled.
    """
    try:  # private or experimental names; without them a study trains uncompiled
        from torch._inductor import compile as compile_graph
        from torch.fx.experimental.proxy_tensor import make_fx
    except ImportError as error:
        raise cannot_compile(error) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the compiler's own, about parts of torch
        try:
            graph = make_fx(function)(*(value.clone() for value in arguments))  # which runs it, hence the clones
            program: Program = compile_graph(graph, list(arguments))
        except RuntimeError as error:
            raise cannot_compile(error) from error
    return program


def cannot_compile(error: Exception) -> TrainingError:
    """The error where torch cannot compile a step, and what to do."""
    return TrainingError(
        "the training step could not be compiled",
        found=str(error).strip().split("\n")[0],
        fix="install a C++ compiler (g++), or --set plan.compile=false",
    )


def descend(params: Tensors, momenta: Tensors, gradient: Tensors, recipe: Recipe, rate: Tensor) -> None:
    """A step of SGD in place, as torch's optimiser takes it; what has no gradient stays.

    Args:
        params, momenta, gradient: by name, changed in place. rate: ``()``.
    """
    for name, grad in gradient.items():
        value, change = params[name], grad.float()
        if recipe.weight_decay:
            change = change + recipe.weight_decay * value
        if recipe.momentum:
            momentum = momenta[name]
            momentum.mul_(recipe.momentum).add_(change)
            change = change + recipe.momentum * momentum if recipe.nesterov else momentum
        value.sub_(rate * change)


def padded(values: Tensor, size: int) -> Tensor:
    """``(m, size, ...)``, contiguous: zeros after the ``(m, batch, ...)`` values."""
    missing = size - values.shape[1]
    if missing:
        return functional.pad(values, (0, 0) * (values.dim() - 2) + (0, missing))
    return values.contiguous()  # a program takes memory as it was laid out when it was compiled


def usual_size(job: Job) -> int:
    """Records for which the step of Poisson batches is compiled: few batches hold more, which go as it is written."""
    mean = min(job.recipe.batch_size, len(job.rows))
    return 8 * ceil((mean + 2.5 * sqrt(mean)) / 8)


def takes_compiled(job: Job, network: Network) -> bool:
    """There is a compiled step for this job: a dense network by SGD, its step's gradient written out."""
    return is_plain_sgd(job.recipe) and takes_dense(network, job.step)


def is_plain_sgd(recipe: Recipe) -> bool:
    """SGD without clipping, which the compiled step writes out."""
    return recipe.optimizer == "sgd" and recipe.clip_norm is None


def can_compile(device: torch.device) -> bool:
    """A compiler is there."""
    if device.type == "cuda":
        return True
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        return bool(get_cpp_compiler())
    except Exception:
        return False
