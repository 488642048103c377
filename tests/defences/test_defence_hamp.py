"""HAMP's labels, its loss against torch's own KL divergence, and the output defence that belongs to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch.nn import functional

from memberwise.defences.training.hamp import DEFENCE, Hamp, HampStep, label_values

LOGITS = torch.tensor([[1.0, -2, 0.5, 0], [3, 0, 0, 1]])
TARGET = torch.tensor([2, 0])


@pytest.mark.parametrize(
    ("classes", "gamma", "top", "rest"),
    [
        (10, 0.95, 0.26, 0.0822),
        (10, 0.5, 0.73, 0.03),
        (10, 0.8, 0.47, 0.0589),
        (10, 0.99, 0.17, 0.0922),
        (30, 0.5, 0.68, 0.01103),
        (100, 0.5, 0.64, 0.00364),
        (100, 0.6, 0.54, 0.00465),
        (100, 0.8, 0.33, 0.00677),
        (10, 0.0, 1.0, 0.0),
        (30, 1.0, 1 / 30, 1 / 30),
        (2, 1.0, 0.5, 0.5),
    ],
)
def test_labels(classes: int, gamma: float, top: float, rest: float) -> None:
    assert label_values(classes, gamma) == pytest.approx((top, rest), abs=5e-5)


@pytest.mark.parametrize("classes", [2, 10, 30, 200])
def test_labels_are_the_surest_with_that_entropy(classes: int) -> None:
    def share(top: float) -> float:
        return float(entropy([top] + [(1 - top) / (classes - 1)] * (classes - 1)) / math.log(classes))

    for gamma in np.linspace(0.01, 0.99, 25):
        top, _ = label_values(classes, float(gamma))
        assert share(top) >= gamma
        assert share(top + 0.01) < gamma


@pytest.mark.parametrize(("reduction", "over"), [("batchmean", 2), ("mean", 2 * 4)])
def test_the_loss_against_torchs_own(reduction: str, over: int) -> None:
    top, rest = label_values(4, 0.7)
    labels = torch.full((2, 4), rest)
    labels[range(2), TARGET] = top
    log_p = functional.log_softmax(LOGITS, -1)
    spread = torch.distributions.Categorical(logits=LOGITS).entropy().mean()
    expected = functional.kl_div(log_p, labels, reduction="sum") / over - 0.2 * spread
    step = HampStep(0.7, 0.2, 4, reduction)  # type: ignore[arg-type]
    torch.testing.assert_close(step.losses(LOGITS, TARGET).mean(), expected)


def test_mixed_labels_get_mixed_softened_labels() -> None:
    step = HampStep(0.7, 0.0, 4)
    hard = torch.stack([step.losses(LOGITS[:1], torch.tensor([c])) for c in (1, 3)])
    mixed = step.losses(LOGITS[:1], torch.tensor([[0, 0.4, 0, 0.6]]))
    top, rest = label_values(4, 0.7)

    def cross(label: torch.Tensor) -> torch.Tensor:
        return (label * (label.log() - functional.log_softmax(LOGITS[0], -1))).sum()

    mixture = torch.tensor([rest, 0.4 * top + 0.6 * rest, rest, 0.6 * top + 0.4 * rest])
    torch.testing.assert_close(mixed[0], cross(mixture))
    assert mixed < hard.max(), "KL is convex in the labels"


def test_what_belongs_in_the_answer() -> None:
    assert DEFENCE.answer is not None
    assert DEFENCE.answer(Hamp()) == [{"name": "hamp"}]
    assert DEFENCE.answer(Hamp(answer=False)) == []
