"""The target models of adversarial regularisation.

Nasr, Shokri and Houmansadr, "Machine learning with membership privacy using adversarial regularization", CCS 2018;
layer sizes and initialisation (torch's own) as in the authors' released code.
"""

from __future__ import annotations

from math import prod

from torch import nn

from memberwise.models.layers import AsImages, Shape, channels_of, width_after
from memberwise.study.schema import ModelConfig

HIDDEN = (1024, 512, 256, 128)


def nasr_mlp(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """Tanh network 1024-512-256-128 for Purchase-100 (600 features) and Texas-100 (6,169); takes any width.

    Some descriptions of the paper leave out the layer of 128; the released code has it.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(shape)
    for hidden in HIDDEN:
        layers += [nn.Linear(width, hidden), nn.Tanh()]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, classes))


def alexnet(study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """AlexNet for 32x32 images (Krizhevsky 2014, arXiv:1404.5997, cut down), the paper's network for CIFAR-100.

    Pooling rounds up, which changes nothing at 32x32 and lets smaller images through.
    """
    body = nn.Sequential(
        AsImages(),
        nn.Conv2d(channels_of(shape), 64, 11, stride=4, padding=5),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(),
    )
    return nn.Sequential(body, nn.Linear(width_after(body, shape), classes))
