"""Batch normalisation written as sums and element-wise operations, which a compiler fuses with what is around it."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from memberwise.training.steppers.dense import is_changed

_PLACES = (0, 2, 3)


class WrittenBatchNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d``: the same values, gradients and running statistics, by float32 sums."""

    def forward(self, input: Tensor) -> Tensor:
        """``(n, C, H, W)`` of ``(n, C, H, W)``."""
        if not self.training:
            return super().forward(input)
        normal, mean, variance = _Normalised.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            count = input.numel() // input.shape[1]
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum or 0.0)
        answers: Tensor = normal
        return answers


class _Normalised(torch.autograd.Function):
    """The batch's own mean and variance, in two passes; the gradient as Ioffe and Szegedy 2015 (arXiv:1502.03167)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.float().mean(_PLACES)
        variance = (x.float() - _of_channels(mean)).square().mean(_PLACES)
        scale = (variance + eps).rsqrt()
        normal = (x.float() - _of_channels(mean)) * _of_channels(scale * weight) + _of_channels(bias)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.mark_non_differentiable(mean, variance)
        return normal.to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale = ctx.saved_tensors
        g, count = gradients[0].float(), x.numel() // x.shape[1]
        normal = (x.float() - _of_channels(mean)) * _of_channels(scale)
        by_bias, by_weight = g.sum(_PLACES), (g * normal).sum(_PLACES)
        by_x = g - _of_channels(by_bias / count) - normal * _of_channels(by_weight / count)
        return (by_x * _of_channels(scale * weight)).to(x.dtype), by_weight, by_bias, None


def _of_channels(values: Tensor) -> Tensor:
    return values[:, None, None]


def is_writable(part: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """A batch normalisation of images with everything that it usually has."""
    if type(part) is not nn.BatchNorm2d or is_changed(part):
        return False
    return part.affine and part.momentum is not None and part.track_running_stats
