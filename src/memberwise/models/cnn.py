"""Small convolutional networks."""

from __future__ import annotations

from torch import nn

from memberwise.models.layers import AsImages, Shape, channels_of, width_after
from memberwise.study.schema import ModelConfig


def cnn(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """Two 3x3 convolutions (32, 64) with max-pooling and one dense layer of 128; images of 1 or 3 channels."""
    body = nn.Sequential(
        AsImages(),
        nn.Conv2d(channels_of(shape), 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    drop: list[nn.Module] = [nn.Dropout(study.dropout)] if study.dropout else []
    return nn.Sequential(body, nn.Linear(width_after(body, shape), 128), nn.ReLU(), *drop, nn.Linear(128, classes))


def small_cnn(shape: Shape, classes: int) -> nn.Module:
    """Two 3x3 convolutions of stride 2 (8, 16 channels) and one dense layer of 64: small enough for ensembles of
    ensembles on two cores; ``memberwise.models.cnn:small_cnn`` in a study."""
    body = nn.Sequential(
        AsImages(),
        nn.Conv2d(channels_of(shape), 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    return nn.Sequential(body, nn.Linear(width_after(body, shape), 64), nn.ReLU(), nn.Linear(64, classes))
