"""amulet's ``LiRA`` as its pipeline for membership inference has it; its shadow models are networks of our own.

They come by the one name that makes them there (``initialize_model``), as its pages on further architectures say.
"""

from __future__ import annotations

import tempfile

import no_torchvision_ops  # noqa: F401
import numpy as np
import torch
from amulet.membership_inference.attacks import LiRA, membership_inference_attack
from power_models import BATCH
from power_worker import Scores, Task, attacked
from torch import nn
from torch.utils.data import TensorDataset


def attack(task: Task, models: int) -> Scores:
    membership_inference_attack.initialize_model = lambda *_: task.fresh()
    records = TensorDataset(torch.from_numpy(task.x), torch.from_numpy(task.y))
    rows, width = np.flatnonzero(task.member), int(np.prod(task.x.shape[1:]))
    with tempfile.TemporaryDirectory() as folder:
        lira = LiRA(
            task.target(), rows, "linear", "m1", records, "data", width, task.classes, BATCH, 0.5,
            nn.CrossEntropyLoss(), models, task.epochs, "cpu", folder, task.seed,
        )  # fmt: skip
        found = lira.attack()
    return {"LiRA online": found["lira_online_preds"], "LiRA offline": found["lira_offline_preds"]}


if __name__ == "__main__":
    attacked("amuletml", attack, ("mlp", "cnn"))
