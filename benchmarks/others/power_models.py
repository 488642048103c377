"""What is attacked, in plain torch and scikit-learn, so that every tool makes the same: networks, forest, recipe."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import nn

# SGD's momentum, weight decay and schedule are the ones that PrivacyGuard and amulet fix in their trainers.
RATE, MOMENTUM, DECAY, BATCH = 0.01, 0.9, 5e-4, 64


def mlp(shape: tuple[int, ...], classes: int) -> nn.Module:
    """One hidden layer of 200."""
    return nn.Sequential(nn.Linear(prod(shape), 200), nn.ReLU(), nn.Linear(200, classes))


def cnn(shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two convolutions and two dense layers, for images of channels first."""
    channels, side, _ = shape
    return nn.Sequential(
        *(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 128), nn.ReLU(), nn.Linear(128, classes)),
    )


def forest(seed: int | None = None) -> Any:
    """scikit-learn's, as it comes."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


class Net(nn.Module):
    """A network by name: what makes it anew can say so in plain values."""

    def __init__(self, kind: str, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layers = {"mlp": mlp, "cnn": cnn}[kind](tuple(shape), classes)

    def forward(self, x: Any) -> Any:
        """``(n, classes)`` logits."""
        return self.layers(x)
