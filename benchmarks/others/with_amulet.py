"""amulet: ``utils.train_classifier`` and the trainer of LiRA's shadow models, ``LiRA.train_shadow_model``.

The latter's optimiser is fixed (SGD 0.01, momentum 0.9, weight decay 5e-4, cosine), it computes under autocast
(bfloat16 on a CPU), and ``LiRA.prepare_shadow_models`` feeds it by a loader with four worker processes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import no_torchvision_ops  # noqa: F401
import torch
from amulet.membership_inference.attacks import LiRA
from amulet.utils import train_classifier
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from worker import Predict, Task, mlp, predictor, serve, sgd


def records(task: Task) -> TensorDataset:
    return TensorDataset(torch.from_numpy(task.x), torch.from_numpy(task.y))


def classifier(task: Task) -> Callable[[], Predict]:
    model = mlp(task)
    optimiser, loss = sgd(model), nn.CrossEntropyLoss()
    loader = DataLoader(records(task), batch_size=task.batch, shuffle=True)
    return lambda: predictor(train_classifier(model, loader, loss, optimiser, task.epochs, "cpu"))


def shadow(task: Task) -> Callable[[], Predict]:
    model, train_set = mlp(task), records(task)
    rows = list(range(len(train_set)))
    attack = LiRA(
        model, rows, "linear", "m1", train_set, "data", task.x.shape[1], int(task.y_test.max()) + 1, task.batch, 0.5,
        nn.CrossEntropyLoss(), 1, task.epochs, "cpu", tempfile.gettempdir(), 0,
    )  # fmt: skip
    loader = DataLoader(Subset(train_set, rows), batch_size=task.batch, shuffle=True, num_workers=4)
    return lambda: predictor(attack.train_shadow_model(model, loader))


serve("amuletml", {"train_classifier": classifier, "LiRA.train_shadow_model": shadow})
