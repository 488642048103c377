"""Densely connected networks with bottlenecks and compression.

Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", CVPR 2017, section 3
(DenseNet-BC for CIFAR) and table 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from memberwise.models.layers import (
    AsImages,
    MeanOverPixels,
    Norm,
    Shape,
    channels_of,
    conv3x3,
    he_initialised,
)
from memberwise.study.schema import ModelConfig

BLOCKS = 3


class Bottleneck(nn.Module):
    """Norm-ReLU-1x1 convolution to 4 x growth channels, norm-ReLU-3x3 to ``growth``, put beside the input."""

    def __init__(self, inputs: int, growth: int, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            norm(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            norm(4 * growth),
            nn.ReLU(),
            conv3x3(4 * growth, growth),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(n, C + growth, H, W)``: new channels below those of ``(n, C, H, W)``."""
        return torch.cat([x, self.body(x)], dim=1)


def densenet_bc(depth: int, growth: int, norm: Norm = nn.BatchNorm2d) -> Callable[[ModelConfig, Shape, int], nn.Module]:
    """DenseNet-BC of three blocks with (depth - 4) / 6 bottlenecks each; transitions halve channels and size.

    Depth 100 and growth 12: 0.77 million parameters for 3 channels and 10 classes (table 2). Depth 22 and growth 12
    is the smaller one in the code of Tan, Xie, Sun and Wang, "Mitigating membership inference attacks via weighted
    smoothing", ACSAC 2023: widths 24, 60, 30, 66, 33, 69.
    """

    def make(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
        width = 2 * growth
        layers: list[nn.Module] = [AsImages(), conv3x3(channels_of(shape), width)]
        for block in range(BLOCKS):
            for _ in range((depth - 4) // 6):
                layers.append(Bottleneck(width, growth, norm))
                width += growth
            layers += [norm(width), nn.ReLU()]
            if block < BLOCKS - 1:
                layers += [nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)]
                width //= 2
        return he_initialised(nn.Sequential(*layers, MeanOverPixels(), nn.Linear(width, classes)))

    return make
