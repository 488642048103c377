"""Perturbed records: FGSM by hand, PGD against a loop written out, within eps and the range."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from defence_cases import KEY, batch_of, linear
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from memberwise.defences.training.adversarial_training import AdversarialStep, AdversarialTraining
from memberwise.training.step import State

RNG = torch.Generator().manual_seed(0)
X = torch.rand(6, 5, generator=RNG)
WEIGHT = torch.randn(3, 5, generator=RNG)
TARGET = torch.tensor([0, 1, 2, 0, 1, 2])


def perturbed(x: Tensor = X, **options: Any) -> Tensor:
    network, params = linear(WEIGHT)
    step = AdversarialStep(AdversarialTraining.model_validate(options))
    return step.perturbed(network, params, State({}, {}), batch_of(x, TARGET), KEY)


def loss(x: Tensor) -> Tensor:
    return functional.cross_entropy(x @ WEIGHT.T, TARGET, reduction="none")


def test_fgsm_moves_along_the_sign() -> None:
    """Of a linear model the gradient by the record is W' (p - y)."""
    by_hand = (torch.softmax(X @ WEIGHT.T, -1) - functional.one_hot(TARGET, 3)) @ WEIGHT
    moved = perturbed(method="fgsm", eps=0.05, low=-9, high=9)
    torch.testing.assert_close(moved, X + 0.05 * by_hand.sign())
    torch.testing.assert_close(perturbed(method="fgsm", eps=0.05), (X + 0.05 * by_hand.sign()).clamp(0, 1))


@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_within_eps_and_the_range(method: str) -> None:
    moved = perturbed(method=method, eps=0.3)
    assert (moved - X).abs().max() <= 0.3 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert ((moved == 0) | (moved == 1)).any(), "the range was reached, so that clipping was tried"
    assert (loss(moved) > loss(X)).all()


def test_pgd_against_a_loop_written_out() -> None:
    options: dict[str, Any] = {"eps": 0.2, "steps": 4, "step_size": 0.07}
    start = perturbed(eps=0.2, steps=1, step_size=1e-12)
    assert (start - X).abs().max() > 0.1, "a random start"
    x = start.clone()
    for _ in range(4):
        x.requires_grad_()
        [slope] = torch.autograd.grad(loss(x).sum(), x)
        x = torch.minimum(torch.maximum(x.detach() + 0.07 * slope.sign(), X - 0.2), X + 0.2).clamp(0, 1)
    torch.testing.assert_close(perturbed(**options), x, atol=1e-6, rtol=0)


def test_values_out_of_the_range_are_not_pulled_in() -> None:
    """Standardised columns: a value of 3 may go down to 3 - eps, but not up."""
    x = torch.full((6, 5), 3.0)
    moved = perturbed(x, method="fgsm", eps=0.1)
    assert moved.max() == 3
    assert moved.min() == pytest.approx(2.9)


def test_a_range_has_two_ends() -> None:
    with pytest.raises(ValidationError, match="low below high"):
        AdversarialTraining(low=1, high=1)
