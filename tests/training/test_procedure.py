"""Procedures of many models run side by side and release what each would alone."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.job import Job, Trained
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step, describe
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 6)).astype(np.float32)
DATA = DataTensors.of(X, (X[:, 0] > 0).astype(np.int64), 2, CPU)
RECIPE = Recipe.of(TrainingConfig(epochs=5, batch_size=16))
ENGINE = StackTrainer(Network(lambda: nn.Linear(6, 2), CPU), DATA, Plan(4))


class Distil:
    """Two teachers on halves, a student on their mean answer: what the test repeats by hand below."""

    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Trained]:
        half = len(job.rows) // 2
        plain = replace(job, procedure=None)
        teachers = yield [
            replace(plain, rows=job.rows[:half], seed=job.seed + 1),
            replace(plain, rows=job.rows[half:], seed=job.seed + 2),
        ]
        soft = np.mean([softmax(teacher.logits(job.rows), -1) for teacher in teachers], 0).astype(np.float32)
        [student] = yield [replace(plain, targets=soft)]
        return student


class Uneven:
    def fit(self, job: Job) -> Generator[list[Job], list[Trained], Trained]:
        for _ in range(job.seed):
            [last] = yield [replace(job, procedure=None)]
        return last


def jobs(procedure: object, count: int) -> list[Job]:
    return [
        Job(np.random.default_rng(k).permutation(200)[:80], Step(), RECIPE, 10 * k, procedure=procedure)  # type: ignore[arg-type]
        for k in range(1, count + 1)
    ]


def test_side_by_side_as_alone_and_as_by_hand() -> None:
    wanted, ticks = jobs(Distil(), 3), list[float]()
    together = ENGINE.train(wanted, ticks.append)
    assert together.predict(X).shape == (3, 200, 2)
    assert ticks == sorted(ticks)
    assert ticks[-1] == 1.0
    np.testing.assert_allclose(together.predict(X)[1], ENGINE.train(wanted[1:2]).predict(X)[0], rtol=1e-3, atol=1e-5)
    job = replace(wanted[1], procedure=None)
    teachers = [
        ENGINE.train([replace(job, rows=rows, seed=job.seed + i)])
        for i, rows in ((1, job.rows[:40]), (2, job.rows[40:]))
    ]
    soft = np.mean([softmax(teacher.predict(X[job.rows])[0], -1) for teacher in teachers], 0).astype(np.float32)
    student = ENGINE.train([replace(job, targets=soft)])
    np.testing.assert_allclose(together.predict(X)[1], student.predict(X)[0], rtol=1e-3, atol=1e-5)


def test_procedures_that_do_not_keep_step_are_told() -> None:
    uneven = [replace(job, seed=k) for k, job in enumerate(jobs(Uneven(), 2), 1)]
    with pytest.raises(TrainingError, match="ends for some models"):
        ENGINE.train(uneven)


def test_a_procedure_is_part_of_a_models_identity() -> None:
    first, second = Distil(), Distil()
    second.temperature = 2.0  # type: ignore[attr-defined]
    assert describe(first) != describe(second)
    assert describe(first) != describe(Uneven())
