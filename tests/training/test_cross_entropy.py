"""The loss of training is torch's cross-entropy, alone and stacked, with its gradients: to the bit."""

from __future__ import annotations

import pytest
import torch
from torch.func import vmap
from torch.nn import functional

from memberwise.training.step import cross_entropy


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_torchs_alone_and_stacked(kind: torch.dtype) -> None:
    made = torch.Generator().manual_seed(0)
    logits = (10 * torch.randn(3, 65, 7, generator=made)).to(kind)
    target = torch.randint(7, (3, 65), generator=made)
    leaves = [logits.clone().requires_grad_() for _ in range(2)]
    found = vmap(cross_entropy)(leaves[0], target)
    wanted = torch.stack(
        [functional.cross_entropy(one, of, reduction="none") for one, of in zip(leaves[1], target, strict=True)]
    )
    assert torch.equal(found, wanted)
    assert torch.equal(cross_entropy(logits[0], target[0]), wanted[0].detach())
    for losses in (found, wanted):
        losses.square().sum().backward()
    assert torch.equal(leaves[0].grad, leaves[1].grad)  # type: ignore[arg-type]


def test_soft_and_smoothed_labels_are_torchs() -> None:
    logits, soft = torch.randn(5, 3), torch.randn(5, 3).softmax(1)
    target = torch.arange(5) % 3
    assert torch.equal(cross_entropy(logits, soft), functional.cross_entropy(logits, soft, reduction="none"))
    smoothed = functional.cross_entropy(logits, target, reduction="none", label_smoothing=0.2)
    assert torch.equal(cross_entropy(logits, target, 0.2), smoothed)
