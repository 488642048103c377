"""RelaxLoss: which way the gradient points on even and odd epochs, above and below the level, in both forms."""

from __future__ import annotations

import pytest
import torch
from defence_cases import batch_of, gradient, linear
from torch import Tensor
from torch.nn import functional

from memberwise.defences.training.relaxloss import RelaxLossStep
from memberwise.training.step import Step

X = torch.eye(3).repeat(2, 1)
TARGET = torch.tensor([0, 1, 2, 0, 1, 2])
RIGHT = torch.tensor([[3.0, 1, 0], [0, 2, 1], [-1, 0, 2]])  # column k answers class k for the k-th unit vector
WRONG = TARGET.roll(1)


def gradients(step: Step, epoch: int, target: Tensor = TARGET) -> Tensor:
    network, params = linear(RIGHT)
    return gradient(step, network, params, batch_of(X, target, epoch))["weight"]


def mean_loss(target: Tensor = TARGET) -> float:
    return float(functional.cross_entropy(X @ RIGHT.T, target))


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_above_the_level_it_is_cross_entropy(epoch: int, form: str) -> None:
    step = RelaxLossStep(mean_loss() - 0.01, form=form)  # type: ignore[arg-type]
    torch.testing.assert_close(gradients(step, epoch), gradients(Step(), epoch))


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("target", [TARGET, WRONG], ids=["right", "wrong"])
def test_below_the_level_even_epochs_climb(form: str, target: Tensor) -> None:
    step = RelaxLossStep(mean_loss(target) + 0.01, form=form)  # type: ignore[arg-type]
    for epoch in (0, 2):
        torch.testing.assert_close(gradients(step, epoch, target), -gradients(Step(), epoch, target))


def test_released_odd_epochs_climb_where_all_are_right() -> None:
    for detach in (True, False):
        step = RelaxLossStep(9.0, form="released", detach=detach)
        torch.testing.assert_close(gradients(step, 1), -gradients(Step(), 1))


def written_out(target: Tensor, upper: float, form: str, detach: bool) -> Tensor:
    """The odd epoch's gradient record by record, soft labels from the formula."""
    weight = RIGHT.clone().requires_grad_()
    total = torch.zeros(())
    for x, y in zip(X, target.tolist(), strict=True):
        p = torch.softmax(weight @ x, 0)
        top = torch.clamp(p[y], max=upper)
        label = torch.stack([top if j == y else (1 - top) / 2 for j in range(3)])
        soft = -((label.detach() if detach else label) * p.log()).sum()
        hard = -p[y].log()
        total = total + (soft if form == "paper" else (0.0 if int(p.argmax()) == y else soft) - hard)
    return torch.autograd.grad(total / len(X), weight)[0]


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("upper", [1.0, 0.2])
def test_odd_epochs_against_the_formula(form: str, detach: bool, upper: float) -> None:
    target = torch.where(torch.arange(6) < 3, TARGET, WRONG)
    step = RelaxLossStep(9.0, upper, form, detach)  # type: ignore[arg-type]
    torch.testing.assert_close(gradients(step, 1, target), written_out(target, upper, form, detach))
    other = RelaxLossStep(9.0, upper, form, not detach)  # type: ignore[arg-type]
    assert (gradients(other, 1, target) - gradients(step, 1, target)).abs().max() > 1e-3


def test_each_form_detaches_as_it_was_published() -> None:
    assert RelaxLossStep(1.0).detach
    assert not RelaxLossStep(1.0, form="released").detach


def test_flattening_leaves_the_true_class_and_evens_the_others() -> None:
    """Soft labels that are constants: the gradient by the logits is p - t, 0 for the true class."""
    network, params = linear(torch.eye(3), torch.zeros(3))
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    by_logits = gradient(RelaxLossStep(9.0), network, params, batch_of(logits, torch.tensor([0]), 1))["bias"]
    p = torch.softmax(logits[0], 0)
    half = (1 - p[0]) / 2
    torch.testing.assert_close(by_logits, torch.stack([p[0] - p[0], p[1] - half, p[2] - half]), atol=1e-7, rtol=1e-5)
