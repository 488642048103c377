"""Batches are drawn from each model's own seed: Poisson sampling, reference and inner batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.feed import Feed
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
DATA = DataTensors.of(RNG.normal(size=(400, 6)).astype(np.float32), RNG.integers(0, 3, 400), 3, CPU)
NETWORK = Network(lambda: nn.Linear(6, 3), CPU)
RECIPE = Recipe.of(TrainingConfig(epochs=2, batch_size=16))


class ByPoisson(Step):
    poisson = True


class WithReference(Step):
    needs = frozenset({"reference", "members"})
    inner = 3

    def loss(self, network: Any, params: Any, state: Any, batch: Any, key: Any) -> tuple[Any, Any]:
        own, after = super().loss(network, params, state, batch, key)
        x, y = batch.reference
        pulled = network(params, {}, x.flatten(0, 1), None)[0]
        return own + torch.nn.functional.cross_entropy(pulled, y.flatten()) + 0 * batch.members[0].sum(), after


def jobs(step: Step, sizes: tuple[int, ...] = (160, 160, 160)) -> list[Job]:
    reference = np.arange(300, 400)
    return [
        Job(np.random.default_rng(k).permutation(300)[:size], step, RECIPE, 50 + k, reference=reference)
        for k, size in enumerate(sizes)
    ]


def test_poisson_batches_hold_each_row_with_the_stated_chance() -> None:
    long = [replace(job, recipe=replace(RECIPE, epochs=60)) for job in jobs(ByPoisson())]
    feed = Feed(long, NETWORK, DATA)
    counts, batches, sizes = np.zeros((3, 160)), 0, []
    for epoch in range(60):
        for batch, _ in feed.epoch(epoch):
            assert batch.mask is not None
            batches += 1
            sizes.append(batch.mask.sum(1).numpy())
            for k in range(3):
                drawn = batch.ids[k][batch.mask[k] > 0].numpy()
                assert len(set(drawn)) == len(drawn)
                counts[k, drawn] += 1
    assert batches == 600
    rate = 16 / 160
    # A binomial count has mean n q and variance n q (1 - q); so have a batch's size over rows and a row's over batches.
    assert np.abs(counts - batches * rate).max() < 5 * np.sqrt(batches * rate * (1 - rate))
    all_sizes = np.concatenate(sizes)
    assert abs(all_sizes.mean() - 16) < 0.4
    assert all_sizes.var() == pytest.approx(160 * rate * (1 - rate), rel=0.15)


def test_poisson_draws_do_not_depend_on_the_stack() -> None:
    wanted = jobs(ByPoisson())
    stack = train_stack(wanted, NETWORK, DATA)
    alone = train_stack(wanted[1:2], NETWORK, DATA, stacked=True)
    torch.testing.assert_close(stack.params["weight"][1], alone.params["weight"][0], rtol=1e-4, atol=1e-6)


def test_reference_and_inner_batches_come_from_their_roles() -> None:
    wanted = jobs(WithReference(), (160, 150, 160))
    for batch, _ in Feed(wanted, NETWORK, DATA).epoch(1):
        assert batch.reference is not None
        assert batch.members is not None
        x, y = batch.reference
        assert x.shape == (3, 3, 16, 6)
        assert y.shape == (3, 3, 16)
        for k, job in enumerate(wanted):
            for part, rows in ((x[k], job.reference), (batch.members[0][k], job.rows)):
                assert rows is not None
                allowed = {tuple(record) for record in DATA.x[torch.from_numpy(rows)].tolist()}
                assert {tuple(record) for record in part.flatten(0, 1).tolist()} <= allowed
    once = {tuple(r) for b, _ in Feed(wanted, NETWORK, DATA).epoch(0) for r in b.reference[0][0].flatten(0, 1).tolist()}  # type: ignore[index]
    assert len(once) == 100, "an epoch goes through all reference records before one comes again"


def test_step_with_reference_records_ignores_the_stack() -> None:
    wanted = jobs(WithReference())
    stack = train_stack(wanted, NETWORK, DATA)
    alone = train_stack(wanted[2:], NETWORK, DATA, stacked=False)
    torch.testing.assert_close(stack.params["weight"][2], alone.params["weight"][0], rtol=1e-4, atol=1e-6)
    other = train_stack([replace(wanted[2], reference=np.arange(280, 380))], NETWORK, DATA)
    assert float((other.params["weight"][0] - alone.params["weight"][0]).abs().max()) > 1e-3


def test_no_reference_records_is_an_error() -> None:
    with pytest.raises(TrainingError, match="reference records"):
        train_stack([replace(jobs(WithReference())[0], reference=None)], NETWORK, DATA)
