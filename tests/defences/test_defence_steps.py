"""What every training step of a defence promises: the same in any stack, padding counts for nothing, off is plain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, RECIPE, STEPS, difference, jobs, mlp, records, step_of, with_step
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from memberwise.defences.training.registry import TRAINING_DEFENCES
from memberwise.models.threads import threads_of
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.step import Step

NAMES = [f"{name}-{'-'.join(map(str, strong.values()))}" for name, strong, _ in STEPS]
each_step = pytest.mark.parametrize(("name", "strong", "off"), STEPS, ids=NAMES)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads_of(1):
        yield


@each_step
def test_a_stack_equals_its_models_alone(name: str, strong: dict[str, Any], off: dict[str, Any]) -> None:
    network, table, wanted = mlp(), records(), jobs(step_of(name, strong))
    stack = train_stack(wanted, network, table)
    assert difference(stack, 2, train_stack(wanted[2:], network, table), 0) < 1e-5
    assert difference(stack, 3, train_stack(wanted[3:], network, table, stacked=False), 0) < 1e-4
    assert difference(stack, 2, stack, 3) > 1e-3, "two seeds must give two models"


@pytest.mark.slow
@each_step
def test_padding_counts_for_nothing(name: str, strong: dict[str, Any], off: dict[str, Any]) -> None:
    """53 and 51 rows in batches of 16: the last batch has 3 records of one model too many."""
    network, table, wanted = mlp(), records(), jobs(step_of(name, strong), count=2, rows=53)
    wanted[1] = replace(wanted[1], rows=wanted[1].rows[:51])
    stack = train_stack(wanted, network, table)
    assert difference(stack, 0, train_stack(wanted[:1] * 2, network, table), 0) < 1e-5
    assert difference(stack, 1, train_stack(wanted[1:] * 2, network, table), 0) < 1e-5


@each_step
def test_soft_labels_of_one_class_are_that_class(name: str, strong: dict[str, Any], off: dict[str, Any]) -> None:
    network, table, [job] = mlp(), records(), jobs(step_of(name, strong), count=1)
    hard = table.y[torch.from_numpy(job.rows)]
    soft = replace(job, targets=functional.one_hot(hard, CLASSES).float().numpy())
    assert difference(train_stack([job], network, table), 0, train_stack([soft], network, table), 0) < 1e-5
    mixed = replace(job, targets=np.full((50, CLASSES), 0.25, np.float32))
    assert np.isfinite(train_stack([mixed], network, table).losses).all()


@each_step
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_off_is_plain_training(name: str, strong: dict[str, Any], off: dict[str, Any], smoothing: float) -> None:
    network, table, plain = mlp(), records(), jobs(Step(smoothing), count=2)
    nothing = train_stack(with_step(plain, step_of(name, off, label_smoothing=smoothing)), network, table)
    assert difference(nothing, 1, train_stack(plain, network, table), 1) < 1e-5


def memorised(step: Step) -> tuple[float, float]:
    """AUC of the loss attack on labels at random, and mean p_y of members: plain training learns them by heart."""
    network, table = mlp(64), records(400)
    recipe = replace(RECIPE, epochs=50, batch_size=50)
    trained = train_stack([Job(np.arange(0, 200), step, recipe, 1)], network, table)
    logits, _ = network({k: v[0] for k, v in trained.params.items()}, {}, table.x, None)
    log_p = torch.log_softmax(logits, -1).gather(1, table.y[:, None])[:, 0].double().numpy()
    return float(roc_auc_score(np.arange(400) < 200, log_p)), float(np.exp(log_p[:200]).mean())


@pytest.fixture(scope="module")
def plain() -> tuple[float, float]:
    with threads_of(1):
        return memorised(Step())


@pytest.mark.slow
@each_step
def test_random_labels_are_learnt_less_by_heart(
    name: str, strong: dict[str, Any], off: dict[str, Any], plain: tuple[float, float]
) -> None:
    leak, confidence = memorised(step_of(name, strong))
    assert leak < plain[0] - 0.02 or confidence < plain[1] - 0.05


def test_every_step_is_in_the_table() -> None:
    ours = {name for name, _, _ in STEPS}
    assert ours <= {name for name, defence in TRAINING_DEFENCES.items() if defence.step}
