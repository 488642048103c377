"""Early checkpoints: models trained for fewer epochs, bit for bit; and what is asked of them, kept and resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine_runs
import numpy as np
import pytest
import torch
from torch import nn

from memberwise.models.network import Network, Tensors
from memberwise.models.threads import threads_of
from memberwise.signals.codec import early_of, join
from memberwise.signals.schedule import FixedCount
from memberwise.study.schema import TrainingConfig
from memberwise.training.early import early_epochs, early_records
from memberwise.training.job import Job, TrainedStack
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
EPOCHS, AFTER = 10, (2, 4)  # a sixth and two fifths, in whole epochs
VALIDATION = np.arange(150, 200)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads_of(1):
        yield


def noisy() -> DataTensors:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    y = np.where(rng.random(200) < 0.35, rng.integers(0, 2, 200), (x[:, 0] > 0).astype(np.int64))
    return DataTensors.of(x, y, 2, CPU)


def module() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))


def jobs(epochs: int, sizes: Sequence[int] = (40, 40, 40), early: bool = False, **recipe: Any) -> list[Job]:
    keys = {"epochs": epochs, "batch_size": 10, "learning_rate": 0.1, "schedule": "constant"} | recipe
    how = Recipe.of(TrainingConfig.model_validate(keys))
    rows = [np.random.default_rng(k).permutation(150)[:size] for k, size in enumerate(sizes)]
    return [Job(part, Step(), how, 10 + k, validation=VALIDATION, early=early) for k, part in enumerate(rows)]


def train(wanted: list[Job], **more: Any) -> TrainedStack:
    return train_stack(wanted, Network(module, CPU), noisy(), **more)


def assert_equal(one: Tensors, other: Tensors) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def assert_checkpoints(whole: TrainedStack, *parts: TrainedStack) -> None:
    assert len(whole.early) == len(parts)
    for (params, state), part in zip(whole.early, parts, strict=True):
        assert_equal(params, part.params)
        assert_equal(state.buffers, part.buffers)


def test_checkpoints_are_of_a_sixth_and_two_fifths() -> None:
    assert [epoch + 1 for epoch in early_epochs(EPOCHS)] == list(AFTER)
    assert [epoch + 1 for epoch in early_epochs(30)] == [5, 12]
    assert early_epochs(1) == []
    assert [epoch + 1 for epoch in early_epochs(2)] == [1]


@pytest.mark.parametrize("sizes", [(40, 40, 40), (40, 15, 28, 12)], ids=["alike", "unequal"])
def test_a_checkpoint_is_a_shorter_training(sizes: tuple[int, ...]) -> None:
    """Bit for bit, model by model, also where models of fewer steps an epoch train in a stack of their own."""
    assert_checkpoints(train(jobs(EPOCHS, sizes, early=True)), *(train(jobs(epochs, sizes)) for epochs in AFTER))


def test_a_checkpoint_of_a_model_alone_is_a_shorter_training() -> None:
    whole = train(jobs(EPOCHS, (40,), early=True), stacked=False)
    assert_checkpoints(whole, *(train(jobs(epochs, (40,)), stacked=False) for epochs in AFTER))


def test_with_patience_a_checkpoint_is_the_best_until_then() -> None:
    """So would a training have ended which was given that many epochs; models that stopped before stay as they are."""
    whole = train(jobs(EPOCHS, early=True, patience=1))
    assert_checkpoints(whole, *(train(jobs(epochs, patience=1)) for epochs in AFTER))
    trained = np.isfinite(whole.losses).sum(1)
    assert trained.max() > AFTER[0], "models must go on behind a checkpoint, or this shows little"
    assert trained.min() < EPOCHS


def test_a_stack_that_stopped_before_keeps_what_it_became() -> None:
    """Labels of the validation rows are inverted: no epoch is better than the first, and the third is the last."""
    data = noisy()
    y = data.y.clone()
    y[VALIDATION] = (data.x[VALIDATION, 0] <= 0).long()
    stopped = train_stack(jobs(20, early=True, patience=2), Network(module, CPU), replace(data, y=y))
    assert int(np.isfinite(stopped.losses).sum(1).max()) < 8, "before the second checkpoint"
    assert len(stopped.early) == 2
    assert_equal(stopped.early[1][0], stopped.params)


@pytest.mark.parametrize("recipe", [{}, {"schedule": "cosine"}, {"patience": 2}, {"optimizer": "adam"}], ids=str)
def test_a_model_looked_at_is_the_same_bit_for_bit(recipe: dict[str, Any]) -> None:
    looked_at, plain = (train(jobs(EPOCHS, early=early, **recipe)) for early in (True, False))
    assert_equal(looked_at.params, plain.params)
    assert_equal(looked_at.buffers, plain.buffers)
    np.testing.assert_array_equal(looked_at.losses, plain.losses)
    assert plain.early == ()


def test_one_job_that_asks_has_the_stack_looked_at() -> None:
    first, *others = jobs(EPOCHS)
    assert len(train([replace(first, early=True), *others]).early) == len(AFTER)


def test_affordable_records_are_fewer_the_dearer_they_are() -> None:
    """Two checkpoints' forward passes cost at most 4 % of a training, at a third of a step each for convolutions."""
    for epochs, rows in ((30, 1200), (5, 100)):
        records = early_records(epochs, rows, convolves=True)
        assert records * 2 / 3 <= 0.04 * epochs * rows < (records + 1) * 2 / 3
        assert early_records(epochs, rows, convolves=True, queries=18) <= records / 18
        assert early_records(epochs, rows, convolves=False) > records


QUESTIONS = replace(
    engine_runs.QUESTIONS,
    population=np.arange(40, 50),
    early=np.array([1, 5, 30]),
    early_population=np.array([0, 2]),
)


def looked_at(k: int) -> Job:
    """Four epochs; the first four models are looked at."""
    recipe = Recipe.of(TrainingConfig(epochs=4, batch_size=8))
    return replace(engine_runs.job(k), recipe=recipe, early=k < 4)


def plain(k: int) -> Job:
    return replace(looked_at(k), early=False)


def gathered(store: Path, job: Any, models: int, questions: Any = QUESTIONS) -> Any:
    run = engine_runs.run(store, engine_runs.trainer(), jobs=FixedCount(job, models, 2), questions=questions)
    return run.arrays


def test_checkpoints_of_the_first_models_are_asked_and_kept(tmp_path: Path) -> None:
    first = gathered(tmp_path, looked_at, 8)
    again = gathered(tmp_path, looked_at, 8)
    for arrays in (first, again):
        assert [one.log_p.shape[:2] for one in early_of(arrays)] == [(4, 3), (4, 3)]
        assert [one.log_p.shape[:2] for one in early_of(arrays, ".population")] == [(4, 2), (4, 2)]
        np.testing.assert_array_equal(arrays["early.positions"], np.tile([1, 5, 30], (4, 1)))
        assert len(arrays["audited.log_p"]) == 8
    np.testing.assert_array_equal(first["early1.vectors"], again["early1.vectors"])
    assert np.abs(first["early1.vectors"] - first["audited.vectors"][:4][:, [1, 5, 30]]).max() > 1e-4


@pytest.mark.parametrize("older", [2, 4])
def test_blocks_with_and_without_checkpoints_are_resumed(older: int, tmp_path: Path) -> None:
    """Blocks of a run that had none are read, not trained again; those behind a block without count for nothing."""
    before = gathered(tmp_path, plain, older)
    mixed = gathered(tmp_path, looked_at, 8)
    assert early_of(before) == early_of(mixed) == ()
    assert not [name for name in mixed if name.startswith("early")]
    for name in ("audited.log_p", "train_accuracy"):
        np.testing.assert_array_equal(mixed[name][:older], before[name])
        assert len(mixed[name]) == 8


def test_blocks_without_checkpoints_behind_some_are_resumed(tmp_path: Path) -> None:
    """The first block was looked at, the second was not: two models' checkpoints teach."""
    gathered(tmp_path, lambda k: replace(looked_at(k), early=k < 2), 4)
    mixed = gathered(tmp_path, looked_at, 8)
    assert [one.models for one in early_of(mixed)] == [2, 2]
    assert len(mixed["audited.log_p"]) == 8


def test_joined_blocks_hold_checkpoints_of_first_models_only() -> None:
    def block(models: int, early: bool) -> dict[str, Any]:
        ones = {"audited.log_p": np.ones((models, 3, 1)), "kind": np.full(models, "logits")}
        return ones | ({"early1.log_p": np.full((models, 2, 1), models)} if early else {})

    assert join([block(2, True), block(3, True), block(1, False)])["early1.log_p"].shape == (5, 2, 1)
    assert join([block(2, True), block(3, False), block(4, True)])["early1.log_p"].shape == (2, 2, 1)
    assert "early1.log_p" not in join([block(2, False), block(3, True)])
