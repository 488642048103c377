"""The written-out step, bfloat16 and channels last train what the general float32 path trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from memberwise.models.network import Network
from memberwise.models.randomness import step_keys
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, Step
from memberwise.training.steppers.base import make_update, start
from memberwise.training.steppers.dense import DenseUpdate, dense_layers
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(1)
DATA = DataTensors.of(RNG.normal(size=(300, 20)).astype(np.float32), RNG.integers(0, 5, 300), 5, CPU)


def dense() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 16, bias=False), nn.Tanh()),
        *(nn.Dropout(0.2), nn.Linear(16, 5)),
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
def test_the_written_out_step_is_the_general_one(masked: bool, smoothing: float, soft: bool) -> None:
    network, step, rng = Network(dense, CPU), Step(smoothing), np.random.default_rng(7)
    jobs = [Job(np.arange(50), step, Recipe.of(TrainingConfig()), k) for k in range(4)]
    params, state = start(jobs, network)
    ids = torch.from_numpy(rng.integers(0, 300, (4, 24)))
    mask = torch.from_numpy((rng.random((4, 24)) > 0.4).astype(np.float32)) if masked else None
    target = DATA.y[ids]
    if soft:
        target = torch.from_numpy(rng.dirichlet(np.ones(5), (4, 24)).astype(np.float32))
    batch = Batch(DATA.records(ids), target, ids, mask, torch.zeros(4))
    keys = torch.stack([step_keys(k, 1)[0] for k in range(4)])
    general, losses, _ = make_update(jobs[0], network, True)(params, state, batch, keys)
    written, same, _ = DenseUpdate(network, step, torch.float32)(params, state, batch, keys)
    torch.testing.assert_close(same, losses, rtol=1e-5, atol=1e-6)
    assert list(written) == list(params)
    for name, value in general.items():
        torch.testing.assert_close(written[name], value, rtol=1e-4, atol=1e-6)
    half, _, _ = DenseUpdate(network, step, torch.bfloat16)(params, state, batch, keys)
    in_half = network.computing(torch.bfloat16, torch.contiguous_format)

    class General(Step):
        """Plain training which the written-out step must not take, for torch's own autocast as the yardstick."""

    yardstick = [Job(job.rows, General(smoothing), job.recipe, job.seed) for job in jobs]
    autocast, _, _ = make_update(yardstick[0], in_half, True)(params, state, batch, keys)
    for name, value in general.items():
        assert half[name].dtype is torch.float32
        error, usual = ((g[name] - value).norm() / value.norm() for g in (half, autocast))
        # Sums of a few signed gradients cancel, so a single bias is less exact than the whole.
        assert float(error) < 3 * float(usual) + 0.05


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(4, 4), nn.Flatten(), nn.Linear(4, 2)),
        nn.Linear(4, 2),
    ],
)
def test_other_modules_take_the_general_path(module: nn.Module) -> None:
    assert dense_layers(Network(lambda: module, CPU)) is None


def test_channels_last_changes_nothing_and_bfloat16_little() -> None:
    def conv() -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32, 5)),
        )

    rng = np.random.default_rng(8)
    x = rng.integers(0, 256, (120, 3, 8, 8)).astype(np.uint8)
    data = DataTensors.of(x, rng.integers(0, 5, 120), 5, CPU)
    network = Network(conv, CPU)
    recipe = Recipe.of(TrainingConfig(epochs=3, batch_size=16, learning_rate=0.01))
    job = Job(np.arange(100), Step(), recipe, 3)
    plain = train_stack([job], network, data, stacked=False)
    last = train_stack([job], network.computing(torch.float32, torch.channels_last), data, stacked=False)
    half = train_stack([job], network.computing(torch.bfloat16, torch.channels_last), data, stacked=False)
    assert not last.params["3.weight"][0].is_contiguous(), "the parameters must lie channels last to be fast"
    for name, value in plain.params.items():
        torch.testing.assert_close(last.params[name], value, rtol=1e-4, atol=1e-5)
        assert half.params[name].dtype is torch.float32
    np.testing.assert_allclose(half.losses, plain.losses, rtol=0.02)
    stacked = train_stack([job, job], network.computing(torch.bfloat16, torch.contiguous_format), data)
    np.testing.assert_allclose(stacked.losses[0], plain.losses[0], rtol=0.02)


def test_records_kept_in_bfloat16_are_the_float_ones_rounded() -> None:
    data = DataTensors.of(np.arange(256, dtype=np.uint8).reshape(64, 4), np.zeros(64, np.int64), 1, CPU)
    rows = torch.arange(64).view(4, 16)
    assert torch.equal(data.in_bfloat16.records(rows), data.records(rows).to(torch.bfloat16))
    assert torch.equal(DATA.in_bfloat16.records(rows), DATA.records(rows).to(torch.bfloat16))
