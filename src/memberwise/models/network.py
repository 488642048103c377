"""A module seen as a pure function of its parameters, so that one code trains one model or a stack of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from memberwise.models.kinds import Kind
from memberwise.models.layer_kinds import CONVOLUTIONS, DROPOUTS
from memberwise.models.randomness import KeyedDropout, seed_torch
from memberwise.types.foreign import Factory

Tensors = dict[str, Tensor]
# The smallest float32 of full precision: what is less is taken for it before a logarithm.
EPS = torch.finfo(torch.float32).eps
TINY = torch.finfo(torch.float32).tiny


class Network:
    """``network(params, buffers, x, key) -> (logits, buffers)``, for any module, unchanged.

    With a key the module is in training mode and its dropout draws from the key; without one it is in evaluation
    mode. Buffers (BatchNorm's running statistics) go in and come out; nothing is changed in place.

    Training may compute in bfloat16 (autocast; parameters stay float32) and with channels last; signals are always
    taken by a float32 forward pass.

    Attributes:
        kind: what the module itself answers in evaluation mode, and ``training_kind`` in training mode (some put
            their softmax into one of them only; see ``training.ending``). Of probabilities and scores the logarithms
            are the logits: the softmax gives probabilities back, and the cross-entropy is that of the answers.
        labels_apart: an answer is about several labels, a sigmoid each, and not about classes that exclude each other.
        constant: names of frozen parameters, which are among the buffers.
    """

    def __init__(self, make: Callable[[], nn.Module], device: torch.device) -> None:
        self.make = make
        self.device = device
        self.precision = torch.float32
        self.memory_format = torch.contiguous_format
        self.kind: Kind = "logits"
        self.training_kind: Kind = "logits"
        self.labels_apart = False
        self.general = False  # True: written-out and compiled steps keep away from it
        self.idle: frozenset[str] = frozenset()  # trainable parameters that a trial gave no gradient
        # Compiled steps, what trials have shown and what is to be told, shared with the copies made below.
        self.programs: dict[Hashable, Factory | None] = {}
        self.trials: dict[Any, Any] = {}
        self.notes: dict[str, None] = {}
        with torch.random.fork_rng(devices=[]):
            self.module = make().to(device)
        self._hooks = _hooks_of(self.module)
        named = self.module.named_parameters()
        self.constant = frozenset(name for name, value in named if not value.requires_grad)
        self.drops = any(isinstance(part, DROPOUTS) for part in self.module.modules())
        self.convolves = any(isinstance(part, CONVOLUTIONS) for part in self.module.modules())

    def init(self, seed: int) -> tuple[Tensors, Tensors]:
        """Fresh parameters and buffers of one model, by the module's own initialisation from this seed.

        Parameters that are frozen (``requires_grad`` False) are among the buffers: nothing trains them.
        """
        module = self.made(seed)
        named = list(module.named_parameters())
        params = {name: self._laid_out(value.detach().clone()) for name, value in named if value.requires_grad}
        constant = [(name, value) for name, value in named if not value.requires_grad]
        return params, {name: value.detach().clone() for name, value in [*constant, *module.named_buffers()]}

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, key: Tensor | None) -> tuple[Tensor, Tensors]:
        answers, buffers = self.answer(params, buffers, x, key)
        return self.logits(answers, training=key is not None), buffers

    def logits(self, answers: Tensor, training: bool) -> Tensor:
        """What the module itself answered, ``(n, C)``, as logits."""
        kind = self.training_kind if training else self.kind
        if self.labels_apart and kind != "logits":
            return answers.logit(eps=EPS)
        return answers if kind == "logits" else answers.clamp_min(TINY).log()

    def answer(self, params: Tensors, buffers: Tensors, x: Tensor, key: Tensor | None) -> tuple[Tensor, Tensors]:
        """The same with the module's own answers, of its ``kind``: ``(n, C)`` for ``(n, ...)`` records."""
        self.module.train(key is not None)
        buffers = {name: value.clone() for name, value in buffers.items()} if key is not None else buffers
        half = key is not None and self.precision is torch.bfloat16
        with (
            KeyedDropout(key) if key is not None and self.drops else nullcontext(),
            torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext(),
        ):
            # One dictionary, which also gets the buffers that are assigned anew.
            merged = self._hooked(params) | buffers
            answers = functional_call(self.module, merged, (self._laid_out(x),))
        return answers.float() if half else answers, {name: merged[name] for name in buffers}

    def fresh(self, seed: int) -> Network:
        """The same network around a module made anew from a seed, which what is no parameter may depend on."""
        other = copy.copy(self)
        other.module = self.made(seed)
        other._hooks = _hooks_of(other.module)
        return other

    def made(self, seed: int) -> nn.Module:
        """A module made from a seed, with the parameters and buffers of ``init``."""
        with torch.random.fork_rng(devices=[]):
            seed_torch(seed, self.device)
            return self.make().to(self.device)

    def on(self, device: torch.device) -> Network:
        """The same network on another device, where trials are made anew."""
        other = copy.copy(self)
        other.device, other.programs, other.trials = device, {}, {}
        other.module = copy.deepcopy(self.module).to(device)
        other._hooks = _hooks_of(other.module)
        return other

    def generally(self) -> Network:
        """The same network, trained by calling its module, whatever faster ways there are."""
        other = copy.copy(self)
        other.general = True
        return other

    def computing(self, precision: torch.dtype, memory_format: torch.memory_format) -> Network:
        """The same network, training in this precision and memory format."""
        other = copy.copy(self)
        other.precision, other.memory_format = precision, memory_format
        return other

    def around(self, module: nn.Module) -> Network:
        """The same network around a module with weights of its own, which ``init`` gives whatever the seed."""
        other = copy.copy(self)
        other.make, other.module = lambda: copy.deepcopy(module), module.to(self.device)
        other._hooks = _hooks_of(other.module)
        trained = module.named_parameters()
        other.constant = frozenset(name for name, value in trained if not value.requires_grad)
        return other

    def _hooked(self, params: Tensors) -> Tensors:
        """Parameters whose gradients pass through the hooks that the module's own have."""
        if not self._hooks or not torch.is_grad_enabled():
            return params
        params = dict(params)
        for name, hooks in self._hooks.items():
            params[name] = params[name].view_as(params[name])
            for hook in hooks if params[name].requires_grad else ():
                params[name].register_hook(hook)
        return params

    def _laid_out(self, value: Tensor) -> Tensor:
        return value.contiguous(memory_format=self.memory_format) if value.dim() == 4 else value

    @property
    def parameters(self) -> int:
        """How many trainable numbers one model has."""
        return sum(value.numel() for value in self.module.parameters())


def _hooks_of(module: nn.Module) -> dict[str, list[Callable[[Tensor], Tensor | None]]]:
    """Hooks on the gradients of trainable parameters, by name."""
    # Where torch keeps them elsewhere, the trial against the module itself sees that they are missing.
    trained = ((name, value) for name, value in module.named_parameters() if value.requires_grad)
    named = {name: getattr(value, "_backward_hooks", None) for name, value in trained}
    return {name: list(hooks.values()) for name, hooks in named.items() if hooks}
