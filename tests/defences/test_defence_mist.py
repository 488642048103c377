"""MIST: parts, means, what the others say; and that it does what it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, CPU, RECIPE, jobs, mlp, records
from scipy.special import softmax
from torch import nn

from memberwise.defences.training.base import Fit
from memberwise.defences.training.mist import (
    DEFENCE,
    CrossDifference,
    Mist,
    MistOptions,
    averaged,
    mean_of_other_models,
)
from memberwise.errors import StudyError
from memberwise.models.network import Network
from memberwise.targets.models import TorchModels
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.step import Step
from memberwise.training.trainers.stack import StackTrainer

DATA = records(120)
X, Y = DATA.x.numpy(), DATA.y.numpy()
ENGINE = StackTrainer(mlp(), DATA, Plan(8))


class Fixed:
    """A model with given answers and parameters."""

    def __init__(self, seed: int, same: bool = False) -> None:
        rng = np.random.default_rng(0 if same else seed)
        self.all = rng.normal(size=(120, CLASSES)).astype(np.float32)
        self.params = {"weight": rng.normal(size=(2, 3)).astype(np.float32)}

    def logits(self, rows: Any) -> Any:
        return self.all[rows]

    def labels(self, rows: Any) -> Any:
        return Y[rows]


def wanted(procedure: Mist, count: int = 3) -> list[Job]:
    return [replace(job, procedure=procedure) for job in jobs(Step(), count)]


def test_side_by_side_as_alone_and_not_as_plain() -> None:
    together = ENGINE.train(wanted(Mist(3, 4.0, 1, 2))).predict(X)
    alone = ENGINE.train(wanted(Mist(3, 4.0, 1, 2))[1:2]).predict(X)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)
    without = ENGINE.train(wanted(Mist(3, 0.0, 1, 2))).predict(X)
    assert np.abs(together - without).max() > 0.01
    assert np.abs(together - ENGINE.train(jobs(Step(), 3)).predict(X)).max() > 0.05


def test_what_the_others_say() -> None:
    models, rows = [Fixed(k) for k in range(4)], np.array([5, 17, 3])
    target = mean_of_other_models(models, 2, rows)  # type: ignore[arg-type]
    for i, row in enumerate(rows):
        expected = np.mean([softmax(models[j].all[row])[Y[row]] for j in (0, 1, 3)])
        assert target[i, Y[row]] == pytest.approx(expected, rel=1e-5)
        assert (np.delete(target[i], Y[row]) == -1).all()


def test_the_cross_difference_against_the_formula() -> None:
    models, rows = [Fixed(k) for k in range(3)], np.arange(20)
    logits = models[0].all[rows]
    ours = CrossDifference(4.0).losses(
        torch.from_numpy(logits),
        torch.from_numpy(mean_of_other_models(models, 0, rows)),  # type: ignore[arg-type]
    )
    others = np.mean([softmax(m.all[rows], -1) for m in models[1:]], 0)
    slow = 4.0 * np.abs(softmax(logits, -1) - others)[rows, Y[rows]]
    np.testing.assert_allclose(ours.numpy(), slow, rtol=1e-4, atol=1e-6)


def test_copies_of_one_model_have_no_cross_difference() -> None:
    models, rows = [Fixed(k, same=True) for k in range(5)], np.arange(30)
    loss = CrossDifference(4.0).losses(
        torch.from_numpy(models[0].all[rows]),
        torch.from_numpy(mean_of_other_models(models, 0, rows)),  # type: ignore[arg-type]
    )
    assert float(loss.max()) < 1e-6
    mean = averaged([model.params for model in models])
    np.testing.assert_allclose(mean["weight"], models[0].params["weight"], rtol=1e-6)


def test_the_stages_of_a_round() -> None:
    [job] = wanted(Mist(3, 4.0, 2, 2), 1)
    playing = Mist(3, 4.0, 2, 2).fit(job)
    stage, dealt = next(playing), []
    for number in range(2):
        dealt.append([set(part.rows) for part in stage])
        assert sorted(np.concatenate([part.rows for part in stage])) == sorted(job.rows)
        assert all(part.recipe.epochs == 2 and part.recipe.schedule == "constant" for part in stage)
        if number == 0:
            assert {part.seed for part in stage} == {job.seed}, "all begin with the model's own initialisation"
        models = [Fixed(10 * number + k) for k in range(3)]
        second = playing.send(list(models))  # type: ignore[arg-type]
        for part, model, before in zip(second, models, stage, strict=True):
            assert part.init is model.params
            assert np.array_equal(part.rows, before.rows)
            assert isinstance(part.step, CrossDifference)
        drawn = [Fixed(100 + 10 * number + k) for k in range(3)]
        stage = playing.send(list(drawn))  # type: ignore[arg-type]
        for part in stage:
            assert part.init is not None
            np.testing.assert_allclose(part.init["weight"], np.mean([m.params["weight"] for m in drawn], 0), rtol=1e-5)
    assert dealt[0] != dealt[1], "rows are dealt anew"
    [last] = stage
    assert last.recipe.learning_rate == 0
    assert np.array_equal(last.rows, job.rows)


def test_the_released_model_has_the_mean_parameters() -> None:
    network = Network(lambda: nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)), CPU)
    engine, kept = StackTrainer(network, DATA, Plan(1, stacked=False)), []

    class Watched(Mist):
        def fit(self, job: Any) -> Iterator[Any]:  # type: ignore[override]
            playing = super().fit(job)
            stage = next(playing)
            while True:
                made = yield stage
                try:
                    stage = playing.send(made)  # type: ignore[arg-type]
                except StopIteration as end:
                    return end.value  # type: ignore[no-any-return]
                kept.append(stage[0].init)

    models = engine.train([replace(jobs(Step(), 1)[0], procedure=Watched(2, 4.0, 1, 1))])  # type: ignore[arg-type]
    assert isinstance(models, TorchModels)
    for name, value in models.params.items():
        np.testing.assert_allclose(value[0].numpy(), kept[-1][name])  # type: ignore[index]
    assert float(models.buffers["1.running_mean"].abs().max()) > 0.01, "statistics were taken of the members"


def test_mixup_has_no_part_in_the_second_phase() -> None:
    """It would average targets whose place says the class and whose value is a probability."""
    [job] = wanted(Mist(2, 4.0, 1, 1), 1)
    playing = Mist(2, 4.0, 1, 1).fit(replace(job, recipe=replace(RECIPE, augment=("flip", "mixup"))))
    assert {part.recipe.augment for part in next(playing)} == {("flip", "mixup")}
    assert {part.recipe.augment for part in playing.send([Fixed(1), Fixed(2)])} == {("flip",)}  # type: ignore[list-item]


def test_more_parts_than_rows_are_refused() -> None:
    assert DEFENCE.check is not None
    assert DEFENCE.check(MistOptions(parts=50), Fit(CLASSES, 50, RECIPE), nn.Linear(12, CLASSES)) == []
    with pytest.raises(StudyError, match="more parts than there are rows"):
        DEFENCE.check(MistOptions(parts=51), Fit(CLASSES, 50, RECIPE), nn.Linear(12, CLASSES))
    with pytest.raises(StudyError, match="more parts than there are rows"):
        ENGINE.train(wanted(Mist(51, 4.0, 1, 1), 1))


def test_options() -> None:
    assert DEFENCE.procedure is not None
    made = DEFENCE.procedure(MistOptions(), Fit(CLASSES, 50, RECIPE))
    assert vars(made) == {"parts": 5, "weight": 4.0, "local_epochs": 5, "rounds": 3}
    falling = [Mist(2, 1.0, 1, 4)._recipe(jobs(Step(), 1)[0], k).learning_rate for k in range(4)]
    assert falling[0] == RECIPE.learning_rate
    assert falling == sorted(falling, reverse=True)
