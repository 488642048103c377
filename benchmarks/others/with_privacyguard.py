"""PrivacyGuard: ``shadow_model_training.training.train_model``, fed as its tutorial on custom data sets does.

Its optimiser is fixed: SGD 0.01, momentum 0.9, weight decay 5e-4, cosine. It tests the model after every epoch; that
is part of the function. "train_model" gives it one batch to test on, so that training is what is timed;
"train_model, testing" the 10,000 test records, as the tutorials do with theirs.
"""

from __future__ import annotations

from collections.abc import Callable

import no_torchvision_ops  # noqa: F401
import torch
from privacy_guard.shadow_model_training.dataset import CustomDataset
from privacy_guard.shadow_model_training.training import train_model
from torch.utils.data import DataLoader, Subset
from worker import Predict, Task, mlp, predictor, serve


def shadow(tested: int | None) -> Callable[[Task], Callable[[], Predict]]:
    def prepare(task: Task) -> Callable[[], Predict]:
        model = mlp(task)
        rows = Subset(CustomDataset(task.x, task.y), list(range(len(task.x))))
        train = DataLoader(rows, batch_size=task.batch, shuffle=True)
        test = DataLoader(CustomDataset(task.x_test[:tested], task.y_test[:tested]), batch_size=task.batch)
        device = torch.device("cpu")
        return lambda: predictor(train_model(model, train, test, epochs=task.epochs, device=device))

    return prepare


serve("privacyguard-platform", {"train_model": shadow(64), "train_model, testing": shadow(None)})
