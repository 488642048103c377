"""BatchNorm under MIST: statistics are of the rows, not of where a moving average began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, CPU, jobs, mlp, records
from torch import nn

from memberwise.defences.training import mist
from memberwise.defences.training.mist import Mist
from memberwise.defences.training.running_statistics import momenta, settled
from memberwise.models.network import Network
from memberwise.targets.models import TorchModels
from memberwise.training.plan import Plan
from memberwise.training.procedure import TrainedModel
from memberwise.training.step import Step
from memberwise.training.trainers.stack import StackTrainer

DATA = records(120)
NORMED = Network(lambda: nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, CLASSES)), CPU)


def before_norm(weight: torch.Tensor, bias: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    return DATA.x[torch.from_numpy(rows)] @ weight.T + bias


@pytest.mark.parametrize("stacked", [True, False])
def test_statistics_are_those_of_the_rows(stacked: bool) -> None:
    """The last of four batches has 2 rows: weighted by records the mean is that of all rows."""
    params = {name: value.numpy() for name, value in NORMED.init(3)[0].items()}
    params["0.bias"] = params["0.bias"] + 5
    wanted = [settled(job, params) for job in jobs(Step(), 2 if stacked else 1)]
    trained = StackTrainer(NORMED, DATA, Plan(2, stacked=stacked)).train(wanted)
    assert isinstance(trained, TorchModels)
    for i, job in enumerate(wanted):
        seen = before_norm(trained.params["0.weight"][i], trained.params["0.bias"][i], job.rows)
        torch.testing.assert_close(trained.buffers["1.running_mean"][i], seen.mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(trained.buffers["1.running_var"][i], seen.var(0), atol=0, rtol=0.25)
        assert all(np.array_equal(trained.params[name][i].numpy(), value) for name, value in params.items())


def test_the_released_model_and_those_that_are_asked_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[TrainedModel, np.ndarray]] = []

    def spied(models: Any, k: Any, rows: Any, real: Any = mist.mean_of_other_models) -> Any:
        asked.append((models[k], rows))
        return real(models, k, rows)

    monkeypatch.setattr(mist, "mean_of_other_models", spied)
    [job] = [replace(job, procedure=Mist(2, 4.0, 1, 2)) for job in jobs(Step(), 1)]
    released = StackTrainer(NORMED, DATA, Plan(4)).train([job])
    assert isinstance(released, TorchModels)
    assert len(asked) == 4
    for stack, rows in [(released, job.rows), *((model.alone, rows) for model, rows in asked)]:
        seen = before_norm(stack.params["0.weight"][0], stack.params["0.bias"][0], rows)
        torch.testing.assert_close(stack.buffers["1.running_mean"][0], seen.mean(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("network", "stages"), [(mlp(), 3), (NORMED, 4)], ids=["without", "with"])
def test_the_extra_pass_is_made_only_where_there_are_statistics(network: Network, stages: int) -> None:
    counted = []

    class Watched(Mist):
        def fit(self, job: Any) -> Iterator[Any]:  # type: ignore[override]
            playing = super().fit(job)
            stage = next(playing)
            while True:
                counted.append(stage)
                try:
                    stage = playing.send((yield stage))  # type: ignore[arg-type]
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]

    StackTrainer(network, DATA, Plan(4)).train([replace(jobs(Step(), 1)[0], procedure=Watched(2, 4.0, 1, 1))])  # type: ignore[arg-type]
    assert len(counted) == stages


def test_which_buffers_are_moving_averages() -> None:
    module = nn.Sequential(
        nn.Sequential(nn.BatchNorm1d(3, momentum=0.2)),
        nn.BatchNorm1d(3, momentum=None),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.InstanceNorm1d(3),
        nn.InstanceNorm1d(3, track_running_stats=True),
        nn.GroupNorm(1, 3),
    )
    assert momenta(module) == {
        "0.0.running_mean": 0.2,
        "0.0.running_var": 0.2,
        "4.running_mean": 0.1,
        "4.running_var": 0.1,
    }
