"""A module seen as a pure function of its parameters, so that one code trains one model or a stack of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call

from memberwise.training.randomness import KeyedDropout

Tensors = dict[str, Tensor]


class Network:
    """``network(params, buffers, x, key) -> (logits, buffers)``, for any module, unchanged.

    With a key the module is in training mode and its dropout draws from the key; without one it is in evaluation
    mode. Buffers (BatchNorm's running statistics) go in and come out; nothing is changed in place.
    """

    def __init__(self, make: Callable[[], nn.Module], device: torch.device) -> None:
        self.make = make
        self.device = device
        with torch.random.fork_rng(devices=[]):
            self.module = make().to(device)
        self.drops = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in self.module.modules())
        self.convolves = any(isinstance(part, nn.modules.conv._ConvNd) for part in self.module.modules())

    def init(self, seed: int) -> tuple[Tensors, Tensors]:
        """Fresh parameters and buffers of one model, by the module's own initialisation from this seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self.make().to(self.device)
        params = {name: value.detach().clone() for name, value in module.named_parameters()}
        return params, {name: value.detach().clone() for name, value in module.named_buffers()}

    def __call__(self, params: Tensors, buffers: Tensors, x: Tensor, key: Tensor | None) -> tuple[Tensor, Tensors]:
        self.module.train(key is not None)
        buffers = {name: value.clone() for name, value in buffers.items()} if key is not None else buffers
        with KeyedDropout(key) if key is not None and self.drops else nullcontext():
            logits = functional_call(self.module, (params, buffers), (x,))
        return logits, buffers

    @property
    def parameters(self) -> int:
        """How many trainable numbers one model has."""
        return sum(value.numel() for value in self.module.parameters())
