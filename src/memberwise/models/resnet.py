"""Residual networks for small images: ResNet-18, ResNet-20 and the nine-layer one of the DAWNBench competition."""

from __future__ import annotations

from torch import Tensor, nn

from memberwise.models.layers import (
    AsImages,
    MeanOverPixels,
    Norm,
    Shape,
    channels_of,
    conv3x3,
    group_norm,
    he_initialised,
)
from memberwise.study.schema import ModelConfig


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input goes unchanged, or through a 1x1 convolution where sizes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(inputs, outputs, stride),
            norm(outputs),
            nn.ReLU(),
            conv3x3(outputs, outputs),
            norm(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, C', H', W')`` of ``(n, C, H, W)``."""
        out: Tensor = (self.body(x) + self.shortcut(x)).relu()
        return out


def resnet18(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """ResNet-18 for small images.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, table 1 (18 layers, projection
    shortcuts), with the usual change for CIFAR: a 3x3 stem of stride 1 and no max-pooling. 11.17 million parameters
    for 3 channels and 10 classes.
    """
    layers: list[nn.Module] = [AsImages(), conv3x3(channels_of(shape), 64), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for outputs in (64, 128, 256, 512):
        layers += [BasicBlock(width, outputs, 1 if outputs == 64 else 2), BasicBlock(outputs, outputs, 1)]
        width = outputs
    return he_initialised(nn.Sequential(*layers, MeanOverPixels(), nn.Linear(width, classes)))


def resnet20_group(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """ResNet-20 for 32x32 images with group normalisation, which treats each record by itself, as DP-SGD needs.

    He et al. 2016, section 4.2 (n = 3: widths 16, 32, 64), with projection shortcuts as in ``resnet18``. 0.27 million
    parameters for 3 channels and 10 classes.
    """
    layers: list[nn.Module] = [AsImages(), conv3x3(channels_of(shape), 16), group_norm(16), nn.ReLU()]
    width = 16
    for outputs in (16, 32, 64):
        for _ in range(3):
            layers.append(BasicBlock(width, outputs, 1 if outputs == width else 2, group_norm))
            width = outputs
    return he_initialised(nn.Sequential(*layers, MeanOverPixels(), nn.Linear(width, classes)))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv3x3(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())


class _Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(width, width), _convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class _LargestOfPixels(nn.Module):
    """Global max-pooling: (batch, C, H, W) to (batch, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((-2, -1))


class _Scaled(nn.Module):
    """Multiply the logits by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def resnet9(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """The nine-layer residual network of David Page's DAWNBench entry ("How to train your ResNet", 2018).

    Convolutions of 64, 128 (pooled, residual), 256 (pooled) and 512 (pooled, residual) channels, global max-pooling,
    a dense layer without bias whose logits are scaled by 1/8. 6.57 million parameters for 3 channels and 10 classes.
    """
    return nn.Sequential(
        AsImages(),
        _convolution(channels_of(shape), 64),
        _convolution(64, 128),
        nn.MaxPool2d(2),
        _Residual(128),
        _convolution(128, 256),
        nn.MaxPool2d(2),
        _convolution(256, 512),
        nn.MaxPool2d(2),
        _Residual(512),
        _LargestOfPixels(),
        nn.Linear(512, classes, bias=False),
        _Scaled(0.125),
    )
