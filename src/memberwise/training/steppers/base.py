"""One training step of a stack of models: the gradient by the job's step, then the optimiser, in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.func import vmap

from memberwise.models.network import Network, Tensors
from memberwise.models.randomness import seed_torch, step_keys
from memberwise.training.job import Job
from memberwise.training.recipe import clip_per_model
from memberwise.training.step import LOSSES, Batch, State, Step, plain_update
from memberwise.training.steppers.conv_compiled import CompiledOneStepper, takes_compiled_one
from memberwise.training.steppers.dense import DenseUpdate, takes_dense
from memberwise.training.steppers.dense_compiled import CompiledStepper, takes_compiled

Stacked = TypeVar("Stacked")
Update = Callable[[Tensors, State, Batch, Tensor], tuple[Tensors, Tensor, State]]


class Stepper(Protocol):
    """Stacked models in training; ``params`` and ``state`` are theirs at this moment, the model first."""

    state: State

    @property
    def params(self) -> Tensors: ...

    def step(self, batch: Batch, keys: Tensor, rate: float) -> Tensor:
        """One step with this learning rate; the ``(m,)`` losses before it."""
        ...

    def set_params(self, params: Tensors) -> None:
        """Go on with these parameters."""
        ...


class EagerStepper:
    """Any step and any optimiser.

    Where a parameter gets no gradient the optimiser leaves it alone, weight decay included, as in a loop of one's own.
    """

    def __init__(self, jobs: Sequence[Job], network: Network, stacked: bool, update: Update | None = None) -> None:
        self.recipe, self._idle = jobs[0].recipe, network.idle
        params, self.state = start(jobs, network)
        self._params = {name: value.detach() for name, value in params.items()}
        self._optimiser = self.recipe.optimiser(list(self._params.values()))
        self._update = update or make_update(jobs[0], network, stacked)

    @property
    def params(self) -> Tensors:
        return dict(self._params)

    def set_params(self, params: Tensors) -> None:
        for name, param in self._params.items():
            param.copy_(params[name])

    def step(self, batch: Batch, keys: Tensor, rate: float) -> Tensor:
        """One step of every model at this learning rate; the ``(m,)`` losses."""
        gradient, losses, self.state = self._update(self.params, self.state, batch, keys)
        if self.recipe.clip_norm is not None:
            clip_per_model(gradient, self.recipe.clip_norm)
        self._optimiser.step([self._laid_out(name, gradient.get(name)) for name in self._params], rate)
        return losses

    def _laid_out(self, name: str, gradient: Tensor | None) -> Tensor | None:
        """The gradient, lying in memory as its parameter does: as it lies the fused optimisers walk it."""
        if gradient is None or (name in self._idle and not gradient.any()):
            return None
        param = self._params[name]
        return gradient if gradient.stride() == param.stride() else torch.empty_like(param).copy_(gradient)


def make_stepper(jobs: Sequence[Job], network: Network, stacked: bool, compiled: bool = False) -> Stepper:
    """What trains these jobs; ``compiled`` counts where a compiled step exists for them.

    A network that has been through ``equality.examined`` gets no written-out step which trains another network.
    """
    if compiled and stacked and takes_compiled(jobs[0], network):
        return CompiledStepper(jobs[0], network, *start(jobs, network))
    if compiled and not stacked and takes_compiled_one(jobs[0], network):
        return CompiledOneStepper(jobs[0], network, *start(jobs, network))
    return EagerStepper(jobs, network, stacked)


def start(jobs: Sequence[Job], network: Network) -> tuple[Tensors, State]:
    """Stacked parameters and state at the beginning, each model from its own seed."""
    pairs = [_begun(network, job) for job in jobs]
    longest = max(len(job.rows) for job in jobs)
    tensors = [job.step.init(network, longest, step_keys(job.seed, 1)[0].to(network.device)) for job in jobs]
    if jobs[0].traced and jobs[0].step.tells_losses:
        tensors = [own | {LOSSES: torch.zeros(1, device=network.device)} for own in tensors]
    inits = [params for params, _ in pairs]
    return stack_models(inits), State(stack_models([buffers for _, buffers in pairs]), stack_models(tensors))


def _begun(network: Network, job: Job) -> tuple[Tensors, Tensors]:
    """Parameters and buffers of one model at the beginning."""
    params, buffers = network.init(job.seed)
    if job.init is None:
        return params, buffers
    constant = network.constant & job.init.keys()
    return (
        {name: torch.from_numpy(job.init[name]).to(value) for name, value in params.items()},
        {name: torch.from_numpy(job.init[name]).to(v) if name in constant else v for name, v in buffers.items()},
    )


def make_update(job: Job, network: Network, stacked: bool) -> Update:
    """Gradient, losses and state of a stack: ``vmap`` over the job's step, or ordinary autograd for a stack of one.

    Plain training of fully connected networks is written out (measured 1.4 to 3.2 times as fast in float32, 1.3 to 1.5
    times in bfloat16).
    """
    step = job.step
    if stacked and takes_dense(network, step):
        return DenseUpdate(network, step, network.precision)
    if stacked and not step.has_own_update and type(step).__module__.partition(".")[0] == "memberwise":
        # Among what a user's own loss may call, vmap alone has some one model at a time (``kl_div``), grad inside not.
        return partial(stacked_update, step, network)
    if stacked:
        return lambda params, state, batch, keys: vmap(
            lambda p, s, b, k: step.update(network, p, s, b, k), in_dims=(0, 0, mapped(batch), 0)
        )(params, state, batch, keys)
    once = partial(step.update if step.has_own_update else partial(plain_update, step), network)

    def alone(params: Tensors, state: State, batch: Batch, keys: Tensor) -> tuple[Tensors, Tensor, State]:
        # What draws from torch's own generator (not nn.Dropout, which is keyed) does so by the model's key.
        with torch.random.fork_rng(devices=[network.device] if network.device.type == "cuda" else []):
            seed_torch(int(keys[0]), network.device)
            gradient, loss, after = once(only(params), only(state), only(batch), keys[0])
        return stack_models([gradient]), loss[None], State(stack_models([after.buffers]), stack_models([after.own]))

    return alone


def stacked_update(
    step: Step, network: Network, params: Tensors, state: State, batch: Batch, keys: Tensor
) -> tuple[Tensors, Tensor, State]:
    """``Step.update``'s default for a stack of models: ``vmap`` over the loss, differentiated once for them all.

    The same as ``vmap`` over each model's gradient, but for the order of some sums, in less time, and without torch's
    compiler, which ``torch.func.grad`` imports.

    Args:
        params, state, batch: stacked, the model first. keys: ``(m,)``.

    Returns:
        Gradients by name, in the parameters' shapes, the ``(m,)`` losses, and the state after the step.
    """
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        losses, after = _vmapped(partial(step.loss, network), (leaves, state, batch, keys))
        gradients = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    after = tree_map(lambda tensor: tensor.detach(), after)
    return dict(zip(leaves, gradients, strict=True)), losses.detach(), after


def _vmapped(loss: Callable[..., tuple[Tensor, State]], arguments: tuple[object, ...]) -> tuple[Tensor, State]:
    """``vmap(loss)(*arguments)`` over every tensor's first dimension: flat, for torch walks its trees slowly."""
    after: list[State] = []

    def flat(*tensors: Tensor) -> tuple[Tensor, ...]:
        told, state = loss(*_filled(arguments, tensors))
        after.append(state)
        return told, *_leaves(state)

    losses, *tensors = vmap(flat)(*_leaves(arguments))
    return losses, _filled(after[0], tensors)


def _leaves(value: object) -> list[Tensor]:
    """The tensors of a tree."""
    found: list[Tensor] = []
    tree_map(lambda leaf: None if leaf is None else found.append(leaf), value)
    return found


def _filled(value: object, leaves: Sequence[Tensor]) -> Any:
    """The same tree with these tensors in the places of its own."""
    following = iter(leaves)
    return tree_map(lambda leaf: None if leaf is None else next(following), value)


def tree_map(change: Callable[[Any], object], value: object) -> Any:
    """The same tree of dictionaries and tuples (named ones, too) with every leaf changed."""
    if isinstance(value, dict):
        return type(value)((name, tree_map(change, part)) for name, part in value.items())
    if isinstance(value, (tuple, list)):
        parts = [tree_map(change, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return change(value)


def mapped(value: object) -> Any:
    """0 in the place of every tensor: what ``vmap`` is to map over."""
    return tree_map(lambda tensor: None if tensor is None else 0, value)


def only(value: Stacked) -> Stacked:
    """The first model's part of whatever is stacked."""
    first: Stacked = tree_map(lambda tensor: None if tensor is None else tensor[0], value)
    return first


def stack_models(models: Sequence[Tensors]) -> Tensors:
    """Tensors of models, by name, with the model as a new first dimension."""
    if len(models) == 1:  # a view, which keeps the memory format
        return {name: value.unsqueeze(0) for name, value in models[0].items()}
    return {name: torch.stack([model[name] for model in models]) for name in models[0]}
