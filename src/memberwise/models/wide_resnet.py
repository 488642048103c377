"""Wide residual networks.

Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016, table 1: BatchNorm and ReLU before each convolution.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from memberwise.models.layers import AsImages, MeanOverPixels, Shape, channels_of, conv3x3, he_initialised
from memberwise.study.schema import ModelConfig


class WideBlock(nn.Module):
    """BN-ReLU-conv-BN-ReLU-(dropout)-conv; where the width changes, a 1x1 shortcut leaves after the first ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        drop: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        self.body = nn.Sequential(
            conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU(), *drop, conv3x3(outputs, outputs)
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """``(n, C', H', W')`` of ``(n, C, H, W)``."""
        active = self.before(x)
        around = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = around + self.body(active)
        return out


def wide_resnet(depth: int, factor: int) -> Callable[[ModelConfig, Shape, int], nn.Module]:
    """WRN-``depth``-``factor``: three groups of (depth - 4) / 6 blocks, ``factor`` times 16, 32 and 64 channels.

    2.75 million parameters for WRN-16-4 and 1.47 million for WRN-28-2, for 3 channels and 10 classes. ``dropout`` is
    within the blocks, between the convolutions, as in the paper's section 2.4.
    """

    def make(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
        layers: list[nn.Module] = [AsImages(), conv3x3(channels_of(shape), 16)]
        width = 16
        for group in (16, 32, 64):
            for block in range((depth - 4) // 6):
                stride = 2 if block == 0 and group > 16 else 1
                layers.append(WideBlock(width, group * factor, stride, study.dropout))
                width = group * factor
        head = [nn.BatchNorm2d(width), nn.ReLU(), MeanOverPixels(), nn.Linear(width, classes)]
        return he_initialised(nn.Sequential(*layers, *head))

    return make
