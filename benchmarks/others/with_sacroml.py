"""SACRO-ML trains its shadow models by ``fit`` of the target's wrapper.

``SklearnModel.fit`` is scikit-learn's (here ``MLPClassifier``). ``PytorchModel.fit`` makes the loader and calls the
user's own ``train(model, dataloader, ...)``: the package ships none, so the one below is ours, the plainest there is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from sacroml.attacks.model_pytorch import PytorchModel
from sacroml.attacks.model_sklearn import SklearnModel
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.utils.data import DataLoader
from worker import Predict, Task, mlp, predictor, serve, sgd


def train(model: nn.Module, dataloader: DataLoader[Any], epochs: int) -> None:
    optimiser, loss = sgd(model), nn.CrossEntropyLoss()
    for _ in range(epochs):
        for x, y in dataloader:
            optimiser.zero_grad()
            loss(model(x), y).backward()
            optimiser.step()


class Mlp(nn.Sequential):
    """Made anew by name for every fit."""

    def __init__(self, task: Task) -> None:
        super().__init__(*mlp(task))


def pytorch(task: Task) -> Callable[[], Predict]:
    here = "with_sacroml.py"
    model = PytorchModel(
        Mlp(task), "", here, "Mlp", {"task": task}, here, {"epochs": task.epochs}, batch_size=task.batch
    )
    return lambda: predictor(model.fit(task.x, task.y))


def sklearn(task: Task) -> Callable[[], Predict]:
    warnings.simplefilter("ignore", ConvergenceWarning)
    network = MLPClassifier(
        (200, 200),
        solver="sgd",
        alpha=0.0,
        batch_size=task.batch,
        learning_rate_init=0.05,
        momentum=0.9,
        nesterovs_momentum=False,
        max_iter=task.epochs,
    )
    return lambda: SklearnModel(network).fit(task.x, task.y).predict


if __name__ == "__main__":
    serve("sacroml", {"SklearnModel.fit (MLPClassifier)": sklearn, "PytorchModel.fit": pytorch})
