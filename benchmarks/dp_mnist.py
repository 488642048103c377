"""DP-SGD on MNIST with the three settings of Opacus' example: ``python benchmarks/dp_mnist.py --epochs 1``.

The network, settings and published figures are those of the example's README (Opacus 1.x, examples/mnist). Its epsilons
are Renyi divergences by the conversion of Mironov 2017, which the table repeats beside the one in use today, a tighter
bound for the same noise. With ``--epochs`` fewer epochs are trained; epsilons are always those of the whole setting.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from opacus.accountants.analysis.rdp import compute_rdp
from torch import nn

from memberwise.data import load
from memberwise.defences.training.dp_accounting import ORDERS, Sampling, epsilon_of
from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.targets.models import TorchModels
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.tensors import DataTensors

RECORDS, BATCH, DELTA = 60_000, 240, 1e-5


@dataclass(frozen=True)
class Setting:
    """Noise multiplier, clip, learning rate, epochs; published epsilon, test accuracy in per cent and its spread."""

    noise: float
    clip: float
    rate: float
    epochs: int
    epsilon: float
    accuracy: float
    spread: float


SETTINGS = (
    Setting(1.3, 1.5, 0.25, 15, 1.16, 94.63, 0.34),
    Setting(1.1, 1.0, 0.15, 60, 2.91, 96.78, 0.21),
    Setting(0.7, 1.5, 0.25, 45, 6.86, 97.09, 0.17),
)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 28)),
        nn.Conv2d(1, 16, 8, 2, padding=3),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, 2),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(512, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def first_conversion(setting: Setting) -> float:
    """Epsilon by proposition 3 of Mironov 2017 (arXiv:1702.07476), as Opacus had it when the figures were published."""
    spent = compute_rdp(
        q=BATCH / RECORDS, noise_multiplier=setting.noise, steps=setting.epochs * RECORDS // BATCH, orders=ORDERS
    )
    return float(min(value - math.log(DELTA) / (order - 1) for value, order in zip(spent, ORDERS, strict=True)))


def test_accuracy(setting: Setting, epochs: int, seed: int) -> float:
    """Per cent of the test records, after training on all training records."""
    dataset, device = load("mnist"), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = ((dataset.x.reshape(-1, 28, 28).astype(np.float32) / 255 - 0.1307) / 0.3081).astype(np.float32)
    study = TrainingConfig(
        epochs=epochs, batch_size=BATCH, learning_rate=setting.rate, momentum=0.0, schedule="constant"
    )
    test = dataset.test
    assert test is not None
    train = np.setdiff1d(np.arange(len(x)), test)
    job = Job(train, DpSgd(setting.noise, setting.clip, BATCH), Recipe.of(study), seed)
    net = Network(network, device)
    made = train_stack([job], net, DataTensors.of(x, dataset.y, 10, device), stacked=False)
    answers = TorchModels(net, made.params, made.buffers, stacked=False).predict(x[test])[0]
    return 100 * float((answers.argmax(-1) == dataset.y[test]).mean())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--epochs", type=int, help="train so many of the setting's epochs")
    arguments.add_argument("--seeds", type=int, default=1)
    arguments.add_argument("--only", type=int, choices=range(3), help="number of one setting")
    given = arguments.parse_args()
    print("noise clip  rate epochs | epsilon: published, its conversion, ours | accuracy: published, ours | s an epoch")
    for number, setting in enumerate(SETTINGS):
        if given.only not in (None, number):
            continue
        epochs, begun = min(given.epochs or setting.epochs, setting.epochs), time.perf_counter()
        reached = [test_accuracy(setting, epochs, seed) for seed in range(given.seeds)]
        seconds = (time.perf_counter() - begun) / given.seeds / epochs
        ours = epsilon_of(setting.noise, Sampling(BATCH / RECORDS, setting.epochs * RECORDS // BATCH), DELTA)
        print(
            f"{setting.noise:5} {setting.clip:4} {setting.rate:5} {epochs:3}/{setting.epochs:<2} | "
            f"{setting.epsilon:.2f} {first_conversion(setting):.2f} {ours:.2f} | "
            f"{setting.accuracy:.2f} +- {setting.spread:.2f}, {np.mean(reached):.2f} ({len(reached)} models) | "
            f"{seconds:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
