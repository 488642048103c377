"""The target model of MemGuard's evaluation.

Jia, Salem, Backes, Zhang and Gong 2019, "MemGuard: Defending against black-box membership inference attacks via
adversarial examples", CCS; layer sizes from the authors' code.
"""

from __future__ import annotations

from math import prod

from torch import nn

from memberwise.models.layers import Shape
from memberwise.study.schema import ModelConfig

HIDDEN = (1024, 512, 256, 128)


def memguard_mlp(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """ReLU network 1024-512-256-128 for Location-30 (446 features); takes any width.

    Weights start uniform by Glorot and Bengio 2010, biases at 0, as in the authors' framework: with torch's own start
    the authors' 200 epochs of plain descent at 0.01 learn 7 % of the training records, with this one all.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(shape)
    for hidden in (*HIDDEN, classes):
        linear = nn.Linear(width, hidden)
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
        width = hidden
    return nn.Sequential(*layers[:-1])
