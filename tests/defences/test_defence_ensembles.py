"""Defences that train several models: who learns from whom, and that only the right one is released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, CPU, RECIPE, jobs, mlp, records
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import nn

from memberwise.defences.training.base import Fit
from memberwise.defences.training.distillation import DEFENCE as DISTILLATION
from memberwise.defences.training.distillation import DMP, Distillation, Softened, surest
from memberwise.defences.training.selena import DEFENCE as SELENA
from memberwise.defences.training.selena import Selena, SelenaOptions, exclusions, held_out_answers
from memberwise.errors import TrainingError
from memberwise.models.network import Network
from memberwise.training.job import Job, Procedure
from memberwise.training.plan import Plan
from memberwise.training.step import Step
from memberwise.training.trainers.stack import StackTrainer

DATA, REFERENCE = records(200), np.arange(120, 200)
X = DATA.x.numpy()
ENGINE = StackTrainer(mlp(), DATA, Plan(8))
FIT = Fit(CLASSES, 50, RECIPE)
PROCEDURES: dict[str, Callable[[], Procedure]] = {
    "selena": lambda: Selena(5, 2, 4),
    "distillation": lambda: Distillation(4.0, True, 1.0, 3),
    "dmp": lambda: Distillation(1.0, False, 0.5, 6),
}


def wanted(procedure: Procedure, count: int = 3) -> list[Job]:
    return [replace(job, procedure=procedure, reference=REFERENCE) for job in jobs(Step(), count)]


class Fixed:
    """A model with given answers about the rows of the data."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.all, self.questions = logits, list[int]()

    def logits(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        self.questions += rows.tolist()
        return self.all[rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCEDURES)
def test_side_by_side_as_alone_and_not_as_plain(name: str) -> None:
    together = ENGINE.train(wanted(PROCEDURES[name]())).predict(X)
    alone = ENGINE.train(wanted(PROCEDURES[name]())[1:2]).predict(X)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-4)
    plain = ENGINE.train([replace(job, procedure=None) for job in wanted(PROCEDURES[name]())]).predict(X)
    assert np.abs(together - plain).max() > 0.05


@pytest.mark.parametrize(("rows", "models", "left_out"), [(1350, 25, 10), (50, 5, 2), (53, 7, 3), (3, 25, 10)])
def test_each_row_is_left_out_of_exactly_l_models(rows: int, models: int, left_out: int) -> None:
    absent = exclusions(rows, models, left_out, 5)
    assert (absent.sum(1) == left_out).all()
    sizes = rows - absent.sum(0)
    assert sizes.max() - sizes.min() <= left_out
    assert abs(sizes.mean() - (1 - left_out / models) * rows) < 1e-9
    assert np.array_equal(absent, exclusions(rows, models, left_out, 5))
    assert not np.array_equal(absent, exclusions(rows, models, left_out, 6)) or rows == 3


def test_lists_are_spread_over_the_models() -> None:
    """Two rows share L^2 / K left-out models in the mean, within one round of the models (L^2 - L) / (K - 1)."""
    shared = [(exclusions(40, 10, 4, seed)[[3, 17]].all(0)).sum() for seed in range(600)]
    expected = 30 / 39 * 16 / 10 + 9 / 39 * 12 / 9
    assert np.mean(shared) == pytest.approx(expected, abs=0.15)
    each = np.mean([exclusions(40, 10, 4, seed)[0] for seed in range(600)], axis=0)
    assert np.abs(each - 0.4).max() < 5 * np.sqrt(0.4 * 0.6 / 600)


def test_soft_labels_come_from_models_that_did_not_see_the_row() -> None:
    rng = np.random.default_rng(0)
    rows, absent = np.array([7, 3, 11, 0, 9, 4]), exclusions(6, 4, 2, 1)
    models = [Fixed(rng.normal(size=(12, 3)).astype(np.float32)) for _ in range(4)]
    soft = held_out_answers(list(models), rows, absent)  # type: ignore[arg-type]
    for i, row in enumerate(rows):
        excluded = [m for k, m in enumerate(models) if absent[i, k]]
        np.testing.assert_allclose(soft[i], np.mean([softmax(m.all[row]) for m in excluded], 0), rtol=1e-5)
    for k, model in enumerate(models):
        assert model.questions == rows[absent[:, k]].tolist(), "no model is asked about a row it saw"


def test_selena_asks_for_what_it_says() -> None:
    [job] = wanted(Selena(5, 2, 4), 1)
    playing = Selena(5, 2, 4).fit(job)
    stage = next(playing)
    absent = exclusions(50, 5, 2, job.seed)
    for k, part in enumerate(stage):
        assert part.procedure is None
        assert set(part.rows) == set(job.rows[~absent[:, k]])
    assert len({part.seed for part in stage} | {job.seed}) == 6
    models = [Fixed(np.full((200, CLASSES), float(k), np.float32)) for k in range(5)]
    [student] = playing.send(list(models))  # type: ignore[arg-type]
    assert student.recipe.epochs == 4
    assert student.targets is not None
    np.testing.assert_allclose(student.targets, 1 / CLASSES)
    assert np.array_equal(student.rows, job.rows)
    released = Fixed(np.zeros((200, CLASSES), np.float32))
    with pytest.raises(StopIteration) as end:
        playing.send([released])  # type: ignore[list-item]
    assert end.value.value is released


@pytest.mark.slow
def test_selena_takes_sub_models_that_leave_out_nothing() -> None:
    assert (~exclusions(50, 60, 1, 100)).all(0).any()
    assert np.isfinite(ENGINE.train(wanted(Selena(60, 1, 1), 1)).predict(X)).all()


@pytest.mark.slow
def test_selena_keeps_labels_from_what_was_memorised() -> None:
    """Labels at random: plain training learns them by heart, soft labels of models that did not see a row cannot."""
    wide = Network(lambda: nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, CLASSES)), CPU)
    engine = StackTrainer(wide, DATA, Plan(8))
    [plain] = [replace(job, recipe=replace(RECIPE, epochs=25, learning_rate=0.2)) for job in jobs(Step(), 1)]
    x, y = X[plain.rows], DATA.y.numpy()[plain.rows]
    by_heart, kept = (engine.train([job]).predict(x)[0] for job in (plain, replace(plain, procedure=Selena(4, 2, 25))))
    assert (by_heart.argmax(-1) == y).mean() > 0.9
    assert (kept.argmax(-1) == y).mean() < 0.45


def test_options_of_selena() -> None:
    with pytest.raises(ValueError, match="fewer than the 10 models"):
        SelenaOptions(models=10, left_out=10)
    assert SELENA.procedure is not None
    assert vars(SELENA.procedure(SelenaOptions(), FIT)) == {"models": 25, "left_out": 10, "distil_epochs": 6}


@pytest.mark.parametrize(("defence", "options"), [(DISTILLATION, {"temperature": 3.0}), (DMP, {"keep": 0.5})])
def test_the_student_sees_reference_records_and_no_labels(defence: Any, options: Any) -> None:
    assert defence.roles == ("reference",)
    [job] = wanted(defence.procedure(defence.options(**options), FIT), 1)
    assert job.procedure is not None
    playing = job.procedure.fit(job)
    [teacher] = next(playing)
    assert set(teacher.rows) == set(job.rows)
    assert teacher.seed != job.seed
    logits = np.random.default_rng(0).normal(size=(200, CLASSES)).astype(np.float32) * 3
    [student] = playing.send([Fixed(logits)])  # type: ignore[list-item]
    soft = softmax(logits[REFERENCE] / options.get("temperature", 1.0), -1)
    if "keep" in options:
        entropy = -(soft * np.log(soft)).sum(-1)
        places = np.sort(entropy.argsort()[:40])
        assert type(student.step) is Step
        assert student.recipe.epochs == 2 * RECIPE.epochs
    else:
        places = np.arange(80)
        assert vars(student.step) == vars(Softened(3.0))
    assert np.array_equal(student.rows, REFERENCE[places])
    assert student.targets is not None
    np.testing.assert_allclose(student.targets, soft[places], rtol=1e-4)
    assert student.seed == job.seed


def test_students_and_teachers_have_no_record_in_common() -> None:
    [job] = wanted(PROCEDURES["dmp"](), 1)
    with pytest.raises(TrainingError, match="1 rows in both roles"):
        ENGINE.train([replace(job, reference=np.append(REFERENCE, job.rows[0]))])
    with pytest.raises(TrainingError, match="reference records"):
        ENGINE.train([replace(job, reference=None)])


def test_the_softened_loss() -> None:
    rng = np.random.default_rng(2)
    logits, target = rng.normal(size=(6, CLASSES)), rng.dirichlet(np.ones(CLASSES), 6)
    slow = -9.0 * (target * log_softmax(logits / 3.0, -1)).sum(-1)
    ours = Softened(3.0).losses(torch.from_numpy(logits), torch.from_numpy(target))
    np.testing.assert_allclose(ours.numpy(), slow, rtol=1e-6)
    plain = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(target), reduction="none")
    torch.testing.assert_close(Softened(1.0).losses(torch.from_numpy(logits), torch.from_numpy(target)), plain)


def test_the_surest_answers() -> None:
    answers = np.array([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1], [0.6, 0.4]])
    assert surest(answers, 0.5).tolist() == [1, 2]
    assert surest(answers, 1.0).tolist() == [0, 1, 2, 3]
    assert surest(answers, 0.01).tolist() == [1]
