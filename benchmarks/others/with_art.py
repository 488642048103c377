"""Adversarial Robustness Toolbox: ``PyTorchClassifier.fit``."""

from __future__ import annotations

from collections.abc import Callable

from art.estimators.classification import PyTorchClassifier
from torch import nn
from worker import Predict, Task, mlp, predictor, serve, sgd


def fit(task: Task) -> Callable[[], Predict]:
    model = mlp(task)
    width, classes = task.x.shape[1], int(task.y_test.max()) + 1
    classifier = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), (width,), classes, optimizer=sgd(model), device_type="cpu"
    )

    def run() -> Predict:
        classifier.fit(task.x, task.y, batch_size=task.batch, nb_epochs=task.epochs)
        return predictor(model)

    return run


serve("adversarial-robustness-toolbox", {"PyTorchClassifier.fit": fit})
