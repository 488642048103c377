"""Early stopping against a slow oracle: each model trained anew for every number of epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys
from memberwise.models.threads import threads_of
from memberwise.study.schema import TrainingConfig
from memberwise.training.early_stopping import EarlyStopping
from memberwise.training.job import Job, TrainedStack
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import State, Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
EPOCHS, PATIENCE = 14, 2
VALIDATION = np.arange(300, 400)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads_of(1):
        yield


def noisy(n: int = 400) -> DataTensors:
    """Few features, wrong labels: models overfit soon."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 10)).astype(np.float32)
    y = np.where(rng.random(n) < 0.35, rng.integers(0, 2, n), (x[:, 0] > 0).astype(np.int64))
    return DataTensors.of(x, y, 2, CPU)


def module() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 2))


def jobs(count: int, epochs: int = EPOCHS, patience: int | None = PATIENCE) -> list[Job]:
    keys = {"epochs": epochs, "batch_size": 20, "learning_rate": 0.1, "schedule": "constant", "patience": patience}
    recipe = Recipe.of(TrainingConfig.model_validate(keys))
    return [
        Job(np.random.default_rng(k).permutation(300)[:60], Step(), recipe, 10 + k, validation=VALIDATION)
        for k in range(count)
    ]


def validation_loss(network: Network, trained: TrainedStack, i: int, data: DataTensors) -> float:
    params, buffers = {k: v[i] for k, v in trained.params.items()}, {k: v[i] for k, v in trained.buffers.items()}
    logits, _ = network(params, buffers, data.x[VALIDATION], None)
    return float(functional.cross_entropy(logits.double(), data.y[VALIDATION]))


def by_hand(losses: list[float]) -> tuple[int, int]:
    """The epoch that is kept and how many are trained."""
    best, smallest = 0, np.inf
    for epoch, loss in enumerate(losses):
        if loss < smallest:
            best, smallest = epoch, loss
        elif epoch - best == PATIENCE:
            return best, epoch + 1
    return best, len(losses)


def assert_same(one: TrainedStack, i: int, other: TrainedStack, j: int) -> None:
    for a, b in ((one.params, other.params), (one.buffers, other.buffers)):
        for name in a:
            torch.testing.assert_close(a[name][i], b[name][j], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_each_model_ends_where_an_oracle_ends_it() -> None:
    data, network = noisy(), Network(module, CPU)
    stopped = train_stack(jobs(4), network, data)
    full = [train_stack(jobs(4, epochs, None), network, data) for epochs in range(1, EPOCHS + 1)]
    ends = []
    for i in range(4):
        best, trained = by_hand([validation_loss(network, stack, i, data) for stack in full])
        assert_same(stopped, i, full[best], i)
        assert int(np.isfinite(stopped.losses[i]).sum()) == trained
        ends.append(trained)
    assert len(set(ends)) > 1, "the models must stop in different epochs, or this shows little"
    assert max(ends) < EPOCHS


def test_a_model_stops_the_same_whatever_it_is_stacked_with() -> None:
    data, network, wanted = noisy(), Network(module, CPU), jobs(5)
    stack = train_stack(wanted, network, data)
    for i in range(5):
        alone = train_stack(wanted[i : i + 1], network, data, stacked=False)
        assert_same(stack, i, alone, 0)
        np.testing.assert_array_equal(np.isnan(stack.losses[i]), np.isnan(alone.losses[0]))


def test_without_improvement_training_ends_after_patience() -> None:
    """Labels of the validation rows are inverted: what is learnt makes their loss larger."""
    data = noisy()
    y = data.y.clone()
    y[VALIDATION] = (data.x[VALIDATION, 0] <= 0).long()
    ticks: list[float] = []
    trained = train_stack(jobs(2), Network(module, CPU), replace(data, y=y), tick=ticks.append)
    assert len(ticks) == 3 * int(np.isfinite(trained.losses).sum(1).max())
    assert len(ticks) < 3 * EPOCHS


def test_a_frozen_model_stays_frozen_though_it_would_improve() -> None:
    """A network that answers its bias: the losses of two models are dictated, epoch by epoch."""

    class Bias(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(x), 2)

    data = replace(noisy(), y=torch.zeros(400, dtype=torch.long))
    stopping = EarlyStopping(jobs(2), Network(Bias, CPU), data, stacked=True)
    told = [[0.1, 0.1], [0.3, 0.2], [0.2, 0.1], [0.3, 0.3], [0.9, 0.2], [0.9, 0.8]]
    frozen = []
    for surety in told:
        bias = torch.tensor([[value, 0.0] for value in surety])
        stopping.after_epoch({"bias": bias}, State({}, {}))
        frozen.append(stopping.frozen.tolist())
    assert frozen == [[False, False]] * 3 + [[True, False]] * 3
    torch.testing.assert_close(stopping.best()[0]["bias"][:, 0], torch.tensor([0.3, 0.8]))
    np.testing.assert_allclose(stopping.smallest, np.log1p(np.exp([-0.3, -0.8])), rtol=1e-6)


def test_what_a_frozen_model_turns_into_disturbs_nobody() -> None:
    """Its loss turns infinite after it has stopped, while others still train."""
    data, network, wanted = noisy(), Network(module, CPU), jobs(4)
    plain = train_stack(wanted, network, data)
    epochs = np.isfinite(plain.losses).sum(1)
    first = int(epochs.argmin())
    fragile, after = step_keys(wanted[first].seed, 1)[0], int(epochs.min())
    assert after < epochs.max()

    class Exploding(Step):
        def init(self, network: Any, rows: Any, key: Any) -> dict[str, Any]:
            return {"fragile": key == fragile}

        def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
            loss, state = super().loss(network, params, state, batch, key)
            return loss * torch.where((batch.epoch >= after) & state.own["fragile"], torch.inf, 1.0), state

    exploding = train_stack([replace(job, step=Exploding()) for job in wanted], network, data)
    for i in range(4):
        assert_same(exploding, i, plain, i)
    np.testing.assert_allclose(exploding.losses, plain.losses, rtol=1e-5)


def test_validation_rows_are_needed_and_shared() -> None:
    data, network = noisy(), Network(module, CPU)
    with pytest.raises(TrainingError, match="needs validation rows"):
        train_stack([replace(jobs(1)[0], validation=None)], network, data)
    one, other = jobs(2)
    with pytest.raises(TrainingError, match="same records"):
        train_stack([one, replace(other, validation=VALIDATION[:-1])], network, data)
