"""PrivacyGuard: ``shadow_model_training.training.train_model``, fed as its tutorial on custom data sets does.

Its optimiser is fixed: SGD 0.01, momentum 0.9, weight decay 5e-4, cosine. It tests the model after every epoch, which
cannot be switched off: "train_model" tests on half as many records as it trains on, the proportion of that tutorial;
"train_model, one test batch" has as good as nothing to test on, so that training alone is timed.
"""

from __future__ import annotations

from collections.abc import Callable

import no_torchvision_ops  # noqa: F401
import torch
from privacy_guard.shadow_model_training.dataset import CustomDataset
from privacy_guard.shadow_model_training.training import train_model
from torch.utils.data import DataLoader, Subset
from worker import Predict, Task, mlp, predictor, serve


def shadow(tested: Callable[[Task], int]) -> Callable[[Task], Callable[[], Predict]]:
    def prepare(task: Task) -> Callable[[], Predict]:
        model = mlp(task)
        rows = Subset(CustomDataset(task.x, task.y), list(range(len(task.x))))
        train = DataLoader(rows, batch_size=task.batch, shuffle=True)
        test = DataLoader(
            CustomDataset(task.x_test[: tested(task)], task.y_test[: tested(task)]), batch_size=task.batch
        )
        device = torch.device("cpu")
        return lambda: predictor(train_model(model, train, test, epochs=task.epochs, device=device))

    return prepare


serve(
    "privacyguard-platform",
    {
        "train_model": shadow(lambda task: len(task.x) // 2),
        "train_model, one test batch": shadow(lambda task: task.batch),
    },
)
