"""Max-pooling written as slices and element-wise operations, which a compiler fuses with what stands around it."""

from __future__ import annotations

import copy
from math import prod
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from memberwise.training.steppers.batch_norm import WrittenBatchNorm, is_writable
from memberwise.training.steppers.dense import is_changed


class SlicedMaxPool(nn.Module):
    """``nn.MaxPool2d(size)`` without overlap or padding: the same values, the same gradient.

    Args:
        size: height and width of the window; rows and columns that fill no window are left out.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``(..., H // k, W // l)`` of ``(..., H, W)``."""
        height, width = (n // k * k for n, k in zip(x.shape[-2:], self.size, strict=True))
        pooled: Tensor = _FirstMax.apply(x[..., :height, :width], *self.size)  # type: ignore[no-untyped-call]
        return pooled


class _FirstMax(torch.autograd.Function):
    """The gradient goes to the first largest number of a window, as in torch's own max-pooling."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int, columns: int) -> Tensor:
        largest, place = x[..., ::rows, ::columns], torch.zeros_like(x[..., ::rows, ::columns])
        for k in range(1, rows * columns):
            value = x[..., k // columns :: rows, k % columns :: columns]
            # The place is kept in x's own type: the compiler does not vectorise where types are mixed.
            place = torch.where(value > largest, float(k), place)
            largest = torch.maximum(largest, value)
        ctx.save_for_backward(place)
        ctx.size = (rows, columns)
        return largest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        [g], [place], (rows, columns) = gradients, ctx.saved_tensors, ctx.size
        images, channels, height, width = g.shape
        places = torch.arange(rows * columns, dtype=g.dtype, device=g.device).view(rows, 1, columns)
        spread = torch.where(place[:, :, :, None, :, None] == places, g[:, :, :, None, :, None], 0)
        return spread.reshape(images, channels, rows * height, columns * width), None, None


# The slices are written out one by one; larger windows stay as they are.
LARGEST = 16


def as_fused(module: nn.Module) -> nn.Module:
    """A copy of the module whose max-pooling without overlap is sliced, and whose batch normalisation is written out.

    Parameters and buffers keep their names.
    """
    module = copy.deepcopy(module)
    for parent in module.modules():
        for name, child in parent._modules.items():  # named_children leaves out a module that comes again
            if child is not None and is_sliceable(child):
                parent._modules[name] = SlicedMaxPool(_pair(child.kernel_size))
            elif child is not None and is_writable(child):
                child.__class__ = WrittenBatchNorm
    return module


def is_sliceable(part: nn.Module) -> TypeGuard[nn.MaxPool2d]:
    """A max-pooling with a small window, no overlap, no padding, nothing else out of the ordinary."""
    if type(part) is not nn.MaxPool2d or is_changed(part) or prod(_pair(part.kernel_size)) > LARGEST:
        return False
    same = _pair(part.stride) == _pair(part.kernel_size)
    usual = (_pair(part.padding), _pair(part.dilation)) == ((0, 0), (1, 1))
    return same and usual and not part.ceil_mode and not part.return_indices


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
