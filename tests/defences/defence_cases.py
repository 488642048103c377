"""What tests of training defences share: small records, jobs with a defence's step, models compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from memberwise.defences.training.base import Fit
from memberwise.defences.training.registry import TRAINING_DEFENCES
from memberwise.models.network import Network, Tensors
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job, TrainedStack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
CLASSES = 4
KEY = torch.tensor(7)
RECIPE = Recipe.of(TrainingConfig(epochs=3, batch_size=16, clip_norm=10.0))

# Defence, options under which it does much, options under which it does nothing.
STEPS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("l1", {"strength": 0.003}, {"strength": 0}),
    ("confidence-penalty", {"strength": 1.0}, {"strength": 0}),
    ("logit-clipping-in-training", {"r": 0.5}, {"r": 1e6}),
    ("weighted-smoothing", {"sigma": 0.2, "warmup": 1}, {"sigma": 0}),
    ("weighted-smoothing", {"sigma": 0.2, "warmup": 1, "projection": True}, {"sigma": 0, "projection": True}),
    ("weighted-smoothing", {"sigma": 5.0, "warmup": 1, "position": "logits", "gap_scaling": True}, {"sigma": 0}),
    ("weighted-smoothing", {"sigma": 2.0, "warmup": 1, "position": "gradient"}, {"sigma": 0, "position": "gradient"}),
    ("relaxloss", {"alpha": 1.2}, {"alpha": 0}),
    ("relaxloss", {"alpha": 1.2, "upper": 0.3, "form": "released"}, {"alpha": 0, "form": "released"}),
    ("hamp", {"gamma": 0.9, "alpha": 0.3}, {"gamma": 0, "alpha": 0}),
    ("ccl", {"alpha": 0.1}, {"alpha": 1}),
    ("ccl", {"alpha": 0.1, "concave": "taylor"}, {"alpha": 1, "concave": "taylor"}),
    ("adversarial-training", {"eps": 0.5, "steps": 2, "low": -9, "high": 9}, {"eps": 0, "steps": 2}),
    ("adversarial-training", {"eps": 0.5, "method": "fgsm", "low": -9, "high": 9}, {"eps": 0, "method": "fgsm"}),
]


def step_of(name: str, options: dict[str, Any], recipe: Recipe = RECIPE, label_smoothing: float = 0.0) -> Step:
    """The step of a defence, from options as they stand in a study."""
    defence = TRAINING_DEFENCES[name]
    assert defence.step is not None
    return defence.step(defence.options.model_validate(options), Fit(CLASSES, 50, recipe, label_smoothing))


def records(n: int = 120, seed: int = 0) -> DataTensors:
    """Records without any relation to their labels."""
    rng = np.random.default_rng(seed)
    return DataTensors.of(rng.normal(size=(n, 12)).astype(np.float32), rng.integers(0, CLASSES, n), CLASSES, CPU)


def mlp(width: int = 16) -> Network:
    return Network(lambda: nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 4)), CPU)


def jobs(step: Step, count: int = 4, rows: int = 50, recipe: Recipe = RECIPE) -> list[Job]:
    return [Job(np.random.default_rng(k).permutation(120)[:rows], step, recipe, 100 + k) for k in range(count)]


def with_step(wanted: Sequence[Job], step: Step) -> list[Job]:
    return [replace(job, step=step) for job in wanted]


def difference(one: TrainedStack, i: int, other: TrainedStack, j: int) -> float:
    return max(float((one.params[name][i] - other.params[name][j]).abs().max()) for name in one.params)


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> tuple[Network, Tensors]:
    """Logits x W' + b, and its parameters: gradients by logits are then seen in those of the bias."""
    network = Network(lambda: nn.Linear(weight.shape[1], weight.shape[0]), CPU)
    return network, {"weight": weight, "bias": torch.zeros(weight.shape[0]) if bias is None else bias}


def batch_of(x: torch.Tensor, target: torch.Tensor, epoch: int = 0, mask: torch.Tensor | None = None) -> Batch:
    return Batch(x, target, torch.arange(len(x)), mask, torch.tensor(epoch))


def gradient(step: Step, network: Network, params: Tensors, batch: Batch, own: Tensors | None = None) -> Tensors:
    return step.update(network, params, State({}, own or {}), batch, KEY)[0]
