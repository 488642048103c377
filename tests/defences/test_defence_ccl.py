"""CCL: cross-entropy at alpha 1, the gradient against the derivative by hand, concavity in p_y."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from memberwise.defences.training.ccl import CclStep

LOGITS = torch.tensor([[1.0, -2, 0.5], [3, 0, 0], [-1, 4, 0]], dtype=torch.float64)
TARGET = torch.tensor([2, 0, 0])
SLOPES = {"exponential": lambda p: -p.exp(), "taylor": lambda p: -(1 + p)}


def test_alpha_1_is_cross_entropy() -> None:
    torch.testing.assert_close(
        CclStep(1.0).losses(LOGITS, TARGET), functional.cross_entropy(LOGITS, TARGET, reduction="none")
    )


@pytest.mark.parametrize("concave", ["exponential", "taylor"])
def test_gradient_by_hand(concave: str) -> None:
    """d p_y / d z_j = p_y (1[j = y] - p_j); cross-entropy's own is p_j - 1[j = y]."""
    logits = LOGITS.clone().requires_grad_()
    step = CclStep(0.3, concave)  # type: ignore[arg-type]
    [by_autograd] = torch.autograd.grad(step.losses(logits, TARGET).sum(), logits)
    p, own = torch.softmax(LOGITS, -1), functional.one_hot(TARGET, 3)
    top = (p * own).sum(-1, keepdim=True)
    by_hand = 0.3 * (p - own) + 0.7 * SLOPES[concave](top) * top * (own - p)
    torch.testing.assert_close(by_autograd, by_hand)


@pytest.mark.parametrize("concave", ["exponential", "taylor"])
def test_the_added_part_is_concave_in_p(concave: str) -> None:
    p = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    logits = torch.stack([torch.log(p), torch.log1p(-p)], -1)
    step = CclStep(1e-9, concave)  # type: ignore[arg-type]
    value = step.losses(logits, torch.zeros(500, dtype=torch.int64))
    assert (value.diff() < 0).all(), "more p_y is better"
    assert (value.diff().diff() < 0).all()
