"""Mixup+MMD: the discrepancy against sums over pairs, class counts, and when it counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from defence_cases import CLASSES, RECIPE, difference, jobs, mlp, records

from memberwise.defences.training.base import Fit
from memberwise.defences.training.mixup_mmd import DEFENCE, MixupMmd, MixupMmdOptions, matched, mmd
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.step import Step

DATA, NETWORK, REFERENCE = records(200), mlp(), np.arange(120, 200)
LONGER = replace(RECIPE, epochs=12, learning_rate=0.2)


def step(**options: Any) -> MixupMmd:
    return MixupMmd(MixupMmdOptions(**options), Fit(CLASSES, 50, LONGER))


def wanted(step: Step, count: int = 3) -> list[Job]:
    return [replace(job, reference=REFERENCE) for job in jobs(step, count, recipe=LONGER)]


def test_the_discrepancy_against_sums_over_pairs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.dirichlet(np.ones(4), 7), rng.dirichlet(np.ones(4), 5)
    a, b = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(5))

    def kernel(u: Any, v: Any) -> Any:
        return np.exp(-((u - v) ** 2).sum() / (2 * 0.7**2))

    slow = sum(a[i] * a[j] * kernel(x[i], x[j]) for i in range(7) for j in range(7))
    slow += sum(b[i] * b[j] * kernel(y[i], y[j]) for i in range(5) for j in range(5))
    slow -= 2 * sum(a[i] * b[j] * kernel(x[i], y[j]) for i in range(7) for j in range(5))
    ours = mmd(*(torch.from_numpy(v) for v in (x, y, a, b)), 0.7)  # type: ignore[arg-type, call-arg]
    assert float(ours) == pytest.approx(slow, rel=1e-8)
    same = mmd(*(torch.from_numpy(v) for v in (x, x, a, a)), 0.7)  # type: ignore[arg-type, call-arg]
    assert float(same) == pytest.approx(0, abs=1e-12)


def test_classes_count_alike_on_both_sides() -> None:
    labels, others = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 1, 1, 1, 1, 3])
    a, b = matched(labels, others, 4)
    torch.testing.assert_close(a, torch.tensor([1, 1, 1, 1, 0, 0]) / 4)
    torch.testing.assert_close(b, torch.tensor([3, 0.25, 0.25, 0.25, 0.25, 0]) / 4)
    none = matched(torch.tensor([0]), torch.tensor([1]), 4)
    assert [float(part.sum()) for part in none] == [0.0, 0.0]


@pytest.mark.slow
def test_weight_0_is_plain_training_bit_for_bit() -> None:
    plain = train_stack(wanted(Step()), NETWORK.generally(), DATA)
    ours = train_stack(wanted(step(weight=0.0, gap=0.0)), NETWORK, DATA)
    assert all(torch.equal(value, plain.params[name]) for name, value in ours.params.items())


@pytest.mark.slow
def test_a_stack_equals_its_models_alone_and_differs_from_plain() -> None:
    stack = train_stack(wanted(step(weight=3.0, gap=0.0)), NETWORK, DATA)
    alone = train_stack(wanted(step(weight=3.0, gap=0.0))[1:2], NETWORK, DATA, stacked=False)
    assert difference(stack, 1, alone, 0) < 1e-3
    assert difference(stack, 1, train_stack(wanted(Step()), NETWORK, DATA), 1) > 1e-2


@pytest.mark.slow
def test_it_counts_after_an_epoch_with_a_gap_and_not_in_the_last() -> None:
    penalties: dict[float, list[bool]] = {}
    for gap in (0.0, 1.0):
        seen = penalties[gap] = []

        class Watched(MixupMmd):
            def update(
                self, network: Any, params: Any, state: Any, batch: Any, key: Any, seen: Any = seen
            ) -> tuple[Any, Any, Any]:
                gradient, loss, after = super().update(network, params, state, batch, key)
                plain, _ = Step.loss(self, network, params, state, batch, key)
                seen.append(bool((loss - plain).abs() > 1e-7))
                return gradient, loss, after

        made = Watched(MixupMmdOptions(weight=50.0, gap=gap), Fit(CLASSES, 50, LONGER))
        train_stack(wanted(made, 1), NETWORK, DATA, stacked=False)
    assert not any(penalties[1.0]), "accuracy on members is never a whole above"
    on = np.array(penalties[0.0]).reshape(12, -1)
    assert not on[0].any(), "before the first epoch there is no gap"
    assert not on[-1].any()
    assert on[6:-1].all()


@pytest.mark.slow
def test_answers_come_nearer_to_those_about_others() -> None:
    """Labels at random, so that answers about members differ by memory alone."""
    recipe = replace(LONGER, epochs=40)
    gaps = []
    for made in (Step(), MixupMmd(MixupMmdOptions(weight=30.0), Fit(CLASSES, 50, recipe))):
        trained = train_stack([replace(job, recipe=recipe) for job in wanted(made, 1)], NETWORK, DATA)
        params = {name: value[0] for name, value in trained.params.items()}
        surest = [
            float(NETWORK(params, {}, DATA.x[rows], None)[0].softmax(-1).gather(1, DATA.y[rows][:, None]).mean())
            for rows in (torch.from_numpy(wanted(made, 1)[0].rows), torch.from_numpy(REFERENCE))
        ]
        gaps.append(surest[0] - surest[1])
    assert gaps[1] < 0.7 * gaps[0]


def test_mixup_is_set_once() -> None:
    assert DEFENCE.settings is not None
    study = {"training": {"augment": ["mixup"]}}
    assert DEFENCE.settings(MixupMmdOptions(), study) == {"training.augment": ["mixup"]}
    assert DEFENCE.settings(MixupMmdOptions(mixup=False), study) == {}
