"""The target models of the first membership inference paper.

Shokri, Stronati, Song and Shmatikov, "Membership inference attacks against machine learning models", IEEE S&P 2017,
section VI-B. The paper trains both by SGD at a learning rate of 0.001.
"""

from __future__ import annotations

from math import prod

from torch import nn

from memberwise.models.layers import AsImages, Shape, channels_of, width_after
from memberwise.study.schema import ModelConfig

# The paper gives neither the number of filters nor their size nor the padding: these are ours.
FILTERS, KERNEL = 32, 5


def shokri_mlp(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """The paper's network for Purchase: one hidden layer of 128 Tanh units."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 128), nn.Tanh(), nn.Linear(128, classes))


def shokri_cnn(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """The paper's network for CIFAR: two convolutions with max-pooling and a dense layer of 128, all with Tanh.

    Where the paper is silent: 32 filters of 5x5 in each convolution, padded to keep the size, and pooling by 2x2.
    """
    body = nn.Sequential(
        AsImages(),
        nn.Conv2d(channels_of(shape), FILTERS, KERNEL, padding=KERNEL // 2),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(FILTERS, FILTERS, KERNEL, padding=KERNEL // 2),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    return nn.Sequential(body, nn.Linear(width_after(body, shape), 128), nn.Tanh(), nn.Linear(128, classes))
