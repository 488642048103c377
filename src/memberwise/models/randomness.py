"""Random numbers from per-model keys, so that they do not depend on which models are stacked together.

A key is one int64 per model. Numbers are a hash of (key, position): no generator state, so the same code runs for
one model and, under ``vmap``, for a stack. The mixing function is lowbias32 (C. Wellons, "Prospecting for hash
functions", 2018), applied once to each half of the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from memberwise.types.foreign import Factory
from memberwise.types.parts import Plain

_LOW = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9


def step_keys(seed: int, steps: int) -> Tensor:
    """``(steps,)`` int64 keys of one model, one for each training step."""
    words = np.random.SeedSequence(seed).generate_state(steps, np.uint64)
    return torch.from_numpy((words >> np.uint64(1)).astype(np.int64))


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's own generator, which initialisation draws from; on a CPU without the others' bookkeeping."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def fold(key: Tensor, number: int | Tensor) -> Tensor:
    """A new key ``()`` from a key and a number: one for each use within a step."""
    return _mix((key & _LOW) + number * _GOLDEN) | (_mix((key >> 32) ^ number) << 31)


def uniform(key: Tensor, shape: Sequence[int]) -> Tensor:
    """float32 uniform numbers in [0, 1) of the given shape.

    Args:
        key: ``()`` int64.
    """
    # 32-bit words, which overflow as the hash wants: a third of the time of 64-bit ones.
    position = torch.arange(prod(shape), device=key.device, dtype=torch.int32)
    bits = _mix_words(_mix_words(position + _word(key)) ^ _word(key >> 32))
    return (((bits >> 8) & 0xFFFFFF).float() * 2.0**-24).reshape(tuple(shape))


def normal(key: Tensor, shape: Sequence[int]) -> Tensor:
    """float32 standard normal numbers of the given shape, none beyond 5.8 (Box-Muller).

    Both numbers of a pair are used, side by side: a draw does not depend on how many follow it.

    Args:
        key: ``()`` int64.
    """
    count = prod(shape)
    radius = torch.sqrt(-2.0 * torch.log(1.0 - uniform(fold(key, 1), ((count + 1) // 2,))))
    angle = 2.0 * torch.pi * uniform(fold(key, 2), ((count + 1) // 2,))
    pairs = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1).flatten()
    return pairs[:count].reshape(tuple(shape))


def _mix(word: Tensor) -> Tensor:
    """The hash of the low half of int64 words, from 0 to 2^32 - 1."""
    word = word & _LOW
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _LOW
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _LOW
    return word ^ (word >> 16)


def _mix_words(word: Tensor) -> Tensor:
    """The same hash on int32 words; shifts fill with the sign, which is masked off."""
    word = (word ^ ((word >> 16) & 0xFFFF)) * 0x7FEB352D
    word = (word ^ ((word >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return word ^ ((word >> 16) & 0xFFFF)


def _word(key: Tensor) -> Tensor:
    """The low half of an int64 key as an int32 word."""
    return (((key & _LOW) ^ 0x80000000) - 0x80000000).to(torch.int32)


class KeyedDropout(TorchFunctionMode):
    """While active, every dropout of a module draws its mask from the key instead of the global generator."""

    def __init__(self, key: Tensor) -> None:
        super().__init__()
        self.key = key
        self.calls = 0

    def __torch_function__(self, func: Factory, types: object, args: Any = (), kwargs: Plain | None = None) -> object:
        kwargs = kwargs or {}
        dims = _DROPOUT.get(func)
        if dims is None:
            return func(*args, **kwargs)
        return self._dropout(dims, *args, **kwargs)

    def _dropout(
        self, dims: int, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return input
        self.calls += 1
        # As torch has it: one dimension too few is a single record, whose first dimension is its channels.
        lead = 1 if input.dim() < dims and dims != 4 else 2
        shape = input.shape[:lead] + (1,) * (input.dim() - lead) if dims else input.shape
        return input * kept(uniform(fold(self.key, self.calls), shape), p, input.dtype)


def kept(drawn: Tensor, p: float, dtype: torch.dtype) -> Tensor:
    """Dropout's mask from uniform numbers, scaled so that the mean stays: 0 or 1 / (1 - p); all 0 where p is 1.

    Args:
        drawn: uniform in [0, 1), ``(...,)`` of any shape, which the mask has too. p: the share dropped.
    """
    return (drawn >= p).to(dtype) / (1.0 - p or 1.0)


# Dimensions of a batch of which whole channels are dropped; 0 where single values are. Two-dimensional dropout alone
# takes a batch with one dimension too few for a batch (of sequences).
_DROPOUT: dict[object, int] = {
    functional.dropout: 0,
    functional.dropout1d: 3,
    functional.dropout2d: 4,
    functional.dropout3d: 5,
}
