"""Architectures by name. Each takes the shape of one record and the number of classes, and answers logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from memberwise.study import ModelStudy

Shape = tuple[int, ...]


class AsImages(nn.Module):
    """Give (batch, H, W) records their channel dimension."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1) if x.dim() == 3 else x


def mlp(study: ModelStudy, shape: Shape, classes: int) -> nn.Module:
    """Fully connected ReLU network; ``hidden`` widths, ``dropout`` after each."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(shape)
    for hidden in study.hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        layers += [nn.Dropout(study.dropout)] if study.dropout else []
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, classes))


def logistic(study: ModelStudy, shape: Shape, classes: int) -> nn.Module:
    """Multinomial logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))


def cnn(study: ModelStudy, shape: Shape, classes: int) -> nn.Module:
    """Two 3x3 convolutions (32, 64) with max-pooling and one dense layer of 128; images of 1 or 3 channels."""
    channels = 1 if len(shape) == 2 else shape[0]
    body = nn.Sequential(
        AsImages(),
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    with torch.no_grad():
        width = int(body(torch.zeros(1, *shape)).shape[1])
    drop: list[nn.Module] = [nn.Dropout(study.dropout)] if study.dropout else []
    return nn.Sequential(body, nn.Linear(width, 128), nn.ReLU(), *drop, nn.Linear(128, classes))


@dataclass(frozen=True)
class Architecture:
    """A named architecture: what makes it, which records it takes, and a line of description."""

    make: Callable[[ModelStudy, Shape, int], nn.Module]
    records: str
    summary: str


ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture(mlp, "any", "fully connected ReLU network (model.hidden, model.dropout)"),
    "logistic": Architecture(logistic, "any", "multinomial logistic regression"),
    "cnn": Architecture(cnn, "images", "two 3x3 convolutions and a dense layer (model.dropout)"),
}
