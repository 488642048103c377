"""The worker's side of a comparison: a process in the other tools' environment that trains when it is told to.

One line of JSON on standard input is one request ``{"trainer", "models", "epochs", "batch", "seed"}``, one line on
standard output its answer. Only training is timed; imports, data, warming up and testing are not.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Task:
    """The data (float32 in [0, 1], int64), and how to train."""

    x: Any
    y: Any
    x_test: Any
    y_test: Any
    epochs: int
    batch: int


# A trainer makes ready what is not timed and gives the function that is: it trains one model, which then predicts.
Predict = Callable[[Any], Any]
Trainer = Callable[[Task], Callable[[], Predict]]


def mlp(task: Task) -> nn.Sequential:
    """The network of the comparison: width of the data, 200, 200, 10, ReLU."""
    width, classes = task.x.shape[1], int(task.y_test.max()) + 1
    return nn.Sequential(nn.Linear(width, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, classes))


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def predictor(model: nn.Module) -> Predict:
    @torch.no_grad()
    def predict(x: Any) -> Any:
        return model.eval()(torch.from_numpy(x)).argmax(1).numpy()

    return predict


def serve(package: str, trainers: dict[str, Trainer]) -> None:
    """Answer requests until standard input ends."""
    answers = sys.stdout
    data = np.load(sys.argv[1])
    facts = {
        "version": importlib.metadata.version(package),
        "trainers": list(trainers),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            try:
                answer: dict[str, Any] = carry_out(trainers[request["trainer"]], request, data)
            except Exception as error:
                answer = {"failure": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def carry_out(trainer: Trainer, request: dict[str, Any], data: Any) -> dict[str, float]:
    seconds, accuracies = 0.0, []
    for number in range(request["models"]):
        torch.manual_seed(request["seed"] + number)
        task = Task(data["x"], data["y"], data["x_test"], data["y_test"], request["epochs"], request["batch"])
        run = trainer(task)
        begun = time.perf_counter()
        predict = run()
        seconds += time.perf_counter() - begun
        accuracies.append(float((predict(task.x_test) == task.y_test).mean()))
    return {"seconds": seconds, "accuracy": sum(accuracies) / len(accuracies)}
