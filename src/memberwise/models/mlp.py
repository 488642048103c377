"""Fully connected networks of any width, and logistic regression."""

from __future__ import annotations

from math import prod

from torch import nn

from memberwise.models.layers import Shape
from memberwise.study.schema import ModelConfig


def mlp(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """Fully connected ReLU network; ``hidden`` widths, ``dropout`` after each."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(shape)
    for hidden in study.hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        layers += [nn.Dropout(study.dropout)] if study.dropout else []
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, classes))


def logistic(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """Multinomial logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))
