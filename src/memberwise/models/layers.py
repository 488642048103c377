"""What the architectures share: record shapes and a few layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

# Makes a normalisation of so many channels.
Norm = Callable[[int], nn.Module]
Shape = tuple[int, ...]


class AsImages(nn.Module):
    """Give (batch, H, W) records their channel dimension."""

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 1, H, W)`` of ``(n, H, W)``; what has channels as it is."""
        return x.unsqueeze(1) if x.dim() == 3 else x


class MeanOverPixels(nn.Module):
    """Global average pooling: (batch, C, H, W) to (batch, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """``(n, C)`` of ``(n, C, H, W)``."""
        return x.mean((-2, -1))


def channels_of(shape: Shape) -> int:
    """Channels of one image record, (H, W) or (C, H, W)."""
    return 1 if len(shape) == 2 else shape[0]


def width_after(body: nn.Module, shape: Shape) -> int:
    """How many numbers ``body`` makes of one record."""
    with torch.no_grad():
        return int(body(torch.zeros(1, *shape)).numel())


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution that keeps the image's size; no bias, as BatchNorm follows."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def he_initialised(module: nn.Module) -> nn.Module:
    """Convolutions drawn from N(0, 2 / (outputs x kernel area)), zero biases of dense layers (He et al. 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    return module


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation (Wu and He 2018, arXiv:1803.08494) in as many groups as divide the channels, at most 8."""
    return nn.GroupNorm(max(groups for groups in range(1, 9) if channels % groups == 0), channels)
