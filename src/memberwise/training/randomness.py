"""Random numbers from per-model keys, so that they do not depend on which models are stacked together.

A key is one int64 per model. Numbers are a hash of (key, position): no generator state, so the same code runs for
one model and, under ``vmap``, for a stack. The mixing function is lowbias32 (C. Wellons, "Prospecting for hash
functions", 2018), applied once to each half of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_LOW = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def step_keys(seed: int, steps: int) -> Tensor:
    """``(steps,)`` int64 keys of one model, one for each training step."""
    words = np.random.SeedSequence(seed).generate_state(steps, np.uint64)
    return torch.from_numpy((words >> np.uint64(1)).astype(np.int64))


def fold(key: Tensor, number: int) -> Tensor:
    """A new key from a key and a number: one for each use within a step."""
    return _mix((key & _LOW) + number * _GOLDEN) | (_mix((key >> 32) ^ number) << 31)


def uniform(key: Tensor, shape: Sequence[int]) -> Tensor:
    """float32 uniform numbers in [0, 1) of the given shape."""
    position = torch.arange(prod(shape), device=key.device)
    bits = _mix(_mix(position + (key & _LOW)) ^ ((key >> 32) & _LOW))
    return ((bits >> 8).float() * 2.0**-24).reshape(tuple(shape))


def normal(key: Tensor, shape: Sequence[int]) -> Tensor:
    """float32 standard normal numbers of the given shape (Box-Muller)."""
    radius = torch.sqrt(-2.0 * torch.log(1.0 - uniform(fold(key, 1), shape)))
    return radius * torch.cos(2.0 * torch.pi * uniform(fold(key, 2), shape))


def _mix(word: Tensor) -> Tensor:
    word = word & _LOW
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _LOW
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _LOW
    return word ^ (word >> 16)


class KeyedDropout(TorchFunctionMode):
    """While active, every dropout of a module draws its mask from the key instead of the global generator."""

    def __init__(self, key: Tensor) -> None:
        super().__init__()
        self.key = key
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        dims = _DROPOUT.get(func)
        if dims is None:
            return func(*args, **kwargs)
        return self._dropout(dims, *args, **kwargs)

    def _dropout(
        self, channel_wise: bool, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return input
        self.calls += 1
        shape = input.shape[:2] + (1,) * (input.dim() - 2) if channel_wise else input.shape
        keep = uniform(fold(self.key, self.calls), shape) >= p
        return input * (keep.to(input.dtype) / (1.0 - p))


# Element-wise dropout drops single values, the others whole channels.
_DROPOUT: dict[Any, bool] = {
    functional.dropout: False,
    functional.dropout1d: True,
    functional.dropout2d: True,
    functional.dropout3d: True,
}
