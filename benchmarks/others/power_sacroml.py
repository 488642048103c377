"""SACRO-ML's ``LIRAAttack`` as its examples have it (offline), and online as its page offers, on one set of models."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from power_models import BATCH, DECAY, MOMENTUM, RATE
from power_worker import Scores, Task, attacked
from sacroml.attacks.likelihood_attack import LIRAAttack
from sacroml.attacks.target import Target
from torch import nn
from torch.utils.data import DataLoader

MODES = {"LiRA offline": "offline", "LiRA online": "online-carlini"}


def train(model: nn.Module, dataloader: DataLoader[Any], epochs: int) -> None:
    """The user's own, which the package asks for."""
    import torch

    optimiser, loss = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY), nn.CrossEntropyLoss()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    for _ in range(epochs):
        for x, y in dataloader:
            optimiser.zero_grad()
            loss(model(x), y).backward()
            optimiser.step()
        schedule.step()


def attack(task: Task, models: int) -> Scores:
    parts = {"X_train": task.x[task.member], "y_train": task.y[task.member]}
    parts |= {"X_test": task.x[~task.member], "y_test": task.y[~task.member]}
    how: dict[str, Any] = {}
    if task.kind != "forest":
        params = {"kind": task.kind, "shape": task.x.shape[1:], "classes": task.classes}
        how = {"model_module_path": "power_models.py", "model_name": "Net", "model_params": params}
        how |= {"train_module_path": "power_sacroml.py", "train_params": {"epochs": task.epochs}, "batch_size": BATCH}
    scores: Scores = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, mode in MODES.items():
            target = Target(task.target(), dataset_name="data", **parts, **how)
            lira = LIRAAttack(folder, False, models, mode=mode, report_individual=True)
            lira.attack(target)
            scores[name] = np.empty(len(task.y))
            scores[name][np.r_[np.flatnonzero(task.member), np.flatnonzero(~task.member)]] = lira.result["member_prob"]
    return scores


if __name__ == "__main__":
    attacked("sacroml", attack, ("mlp", "cnn", "forest"))
