"""Condensation: made-up records that come to match, a released model that has seen nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, CPU, KEY, RECIPE, difference, jobs, mlp, records
from torch import nn

from memberwise.data import load
from memberwise.defences.training.base import Fit
from memberwise.defences.training.condensation import (
    DEFENCE,
    CondensationOptions,
    Matching,
    redrawn,
    stretched,
    unmatched,
)
from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer

DATA = records()
FIT = Fit(CLASSES, 50, RECIPE, shape=(12,))


def test_the_distance_is_the_slow_one() -> None:
    rng = np.random.default_rng(0)
    ours, theirs, labels = rng.normal(size=(6, 5)), rng.normal(size=(40, 5)), rng.integers(0, 2, 40)
    shares = np.eye(3)[labels]  # the third class is not there and does not count
    means = [theirs[labels == c].mean(0) for c in (0, 1)]
    parts = [(labels == c).mean() for c in (0, 1)]
    common = theirs.mean(0)
    slow = sum(w * ((ours[2 * c : 2 * c + 2].mean(0) - means[c]) ** 2).sum() for c, w in enumerate(parts))
    slow /= sum(w * ((mean - common) ** 2).sum() for mean, w in zip(means, parts, strict=True))
    fast = unmatched(*(torch.from_numpy(values) for values in (ours, theirs, shares)))
    assert float(fast) == pytest.approx(slow)
    matched = torch.from_numpy(np.stack([*means, common]).repeat(2, 0))
    assert float(unmatched(matched, torch.from_numpy(theirs), torch.from_numpy(shares))) == pytest.approx(0, abs=1e-12)
    alike = torch.from_numpy(np.tile(common, (6, 1)))
    assert float(unmatched(alike, torch.from_numpy(theirs), torch.from_numpy(shares))) == pytest.approx(1)


def test_random_networks_are_of_the_initialisations_spread() -> None:
    params = {"weight": torch.randn(300, 40, generator=torch.Generator().manual_seed(0)) / 7, "scale": torch.ones(40)}
    one, other = redrawn(params, KEY), redrawn(params, KEY + 1)
    assert float(one["weight"].std()) == pytest.approx(1 / 7, rel=0.03)
    assert float((one["weight"] - other["weight"]).abs().mean()) > 0.1
    assert torch.equal(one["scale"], params["scale"])


def test_records_of_a_jobs_own_are_trained_on_like_the_datas() -> None:
    plain = jobs(Step(), 3)
    x, y = DATA.x.numpy(), DATA.y.numpy()
    own = [replace(job, rows=np.arange(50), records=x[job.rows], targets=y[job.rows]) for job in plain]
    network = mlp()
    one, other = train_stack(plain, network, DATA), train_stack(own, network, records(seed=9))
    assert all(difference(one, k, other, k) < 1e-6 for k in range(3))
    with pytest.raises(TrainingError, match="with targets"):
        train_stack([replace(own[0], targets=None)], network, DATA)
    with pytest.raises(TrainingError, match="every job"):
        train_stack([own[0], replace(plain[1], targets=y[plain[1].rows])], network, DATA)


def digits(rows: int = 400) -> tuple[DataTensors, np.ndarray, np.ndarray]:
    """All of scikit-learn's digits; rows to train on and others to test on."""
    dataset = load("digits")
    order = np.random.default_rng(0).permutation(len(dataset.y))
    return DataTensors.of(dataset.x, dataset.y, 10, CPU), order[:rows], order[rows:]


@pytest.mark.slow
def test_the_distance_falls_and_few_records_teach_much() -> None:
    data, rows, test = digits()
    network = Network(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), CPU)
    recipe = Recipe.of(TrainingConfig(epochs=10, batch_size=32, learning_rate=0.1))
    fit = Fit(10, len(rows), recipe, shape=data.shape)
    assert DEFENCE.procedure is not None
    x, y = data.x.numpy()[test], data.y.numpy()[test]
    for per_class, least in ((1, 0.6), (5, 0.75)):
        made = DEFENCE.procedure(CondensationOptions(per_class=per_class, iterations=350, rate=0.05), fit)
        job = Job(rows, Step(), recipe, 5)
        matching = train_stack([replace(job, step=made.step, recipe=made.matching)], network, data)  # type: ignore[attr-defined]
        assert matching.losses[0, 0] > 3
        assert matching.losses[0, -1] < 0.2
        assert matching.own["records"].shape == (1, 10 * per_class, *data.shape)
        engine = StackTrainer(network, data, Plan(2))
        condensed, plain = engine.train([replace(job, procedure=made)]).predict(x)[0], engine.train([job]).predict(x)[0]
        assert (condensed.argmax(-1) == y).mean() > least
        assert np.abs(condensed - plain).mean() > 0.5


def test_side_by_side_equals_alone_and_model_is_untrained() -> None:
    step = Matching(2, 0.05, CLASSES, (12,))
    recipe = replace(RECIPE, batch_size=50)
    wanted = jobs(step, 3, recipe=recipe)
    together, alone = train_stack(wanted, mlp(), DATA), train_stack(wanted[1:2], mlp(), DATA)
    torch.testing.assert_close(together.own["records"][1], alone.own["records"][0], atol=1e-4, rtol=1e-3)
    apart = together.own["records"][1] - together.own["records"][0]
    assert float(apart.abs().mean()) > 0.5, "each begins with noise of its own"
    first = mlp().init(wanted[1].seed)[0]
    for name, value in first.items():
        assert torch.equal(together.params[name][1], value)


def test_the_released_model_sees_the_made_up_records_alone() -> None:
    [job] = jobs(Step(), 1)
    options = CondensationOptions(per_class=3, iterations=20)
    assert DEFENCE.procedure is not None
    playing = DEFENCE.procedure(options, FIT).fit(job)
    [matching] = next(playing)
    assert matching.seed != job.seed
    assert (matching.recipe.epochs, matching.recipe.batch_size, matching.recipe.weight_decay) == (20, 50, 0)

    class Made:
        own = {"records": np.ones((12, 12), np.float32)}  # noqa: RUF012

    [learning] = playing.send([Made()])  # type: ignore[list-item]
    assert learning.records is Made.own["records"]
    assert learning.targets is not None
    assert learning.targets.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert learning.rows.tolist() == list(range(12))
    assert (learning.step, learning.seed) == (job.step, job.seed)
    assert learning.recipe.epochs * learning.recipe.steps_per_epoch(12) == RECIPE.epochs * RECIPE.steps_per_epoch(50)


def test_the_schedule_goes_with_the_epochs() -> None:
    recipe = Recipe.of(TrainingConfig(epochs=30, batch_size=10, schedule="step", steps=[10, 20], warmup=2))
    longer = stretched(recipe, 100, 20)
    assert (longer.epochs, longer.steps, longer.warmup) == (150, (50, 100), 10)
    places = [0, 37, 99, 100, 250, 299]
    assert [longer.rate(step, 2) for step in places] == [recipe.rate(step, 10) for step in places]
