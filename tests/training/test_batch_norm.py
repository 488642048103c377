"""Batch normalisation as it is written for a compiler is torch's own: values, gradients and running statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memberwise.training.steppers.batch_norm import WrittenBatchNorm
from memberwise.training.steppers.pooling import as_fused


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("shape", "level", "momentum"), [((5, 6, 4, 3), 0.0, 0.1), ((3, 6, 2, 1), 0.0, 0.3), ((9, 6, 8, 8), 300.0, 0.1)]
)
def test_written_is_torchs(layout: torch.memory_format, shape: tuple[int, ...], level: float, momentum: float) -> None:
    """Against torch's in float64, far from zero too, where the square of sums would cancel."""
    rng = torch.Generator().manual_seed(2)
    theirs, ours = nn.BatchNorm2d(6, momentum=momentum).double(), WrittenBatchNorm(6, momentum=momentum)
    with torch.no_grad():
        for value in theirs.parameters():
            value.copy_(torch.randn(6, generator=rng))
    ours.load_state_dict(theirs.state_dict())
    for _ in range(2):
        x = (3 * torch.randn(shape, generator=rng) + level).contiguous(memory_format=layout)
        g, pairs = torch.randn(shape, generator=rng), []
        for norm, leaf in ((theirs, x.double().requires_grad_()), (ours, x.clone().requires_grad_())):
            answers = norm(leaf)
            pairs.append((answers, *torch.autograd.grad(answers, [leaf, *norm.parameters()], g.to(leaf.dtype))))
        for exact, value in zip(*pairs, strict=True):
            torch.testing.assert_close(value.detach().double(), exact.detach(), rtol=1e-3, atol=1e-3)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name].to(value), value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.eval()(x).double(), theirs.eval()(x.double()), rtol=1e-3, atol=1e-3)


def test_only_usual_ones_are_written_and_only_in_the_copy() -> None:
    hooked = nn.BatchNorm2d(3)
    hooked.register_forward_hook(lambda *_: None)
    parts = [
        *(nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, momentum=None)),
        *(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm1d(3), nn.GroupNorm(1, 3), hooked),
    ]
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(*parts))
    fused = as_fused(module)
    assert [type(part) is WrittenBatchNorm for part in fused[1]] == [True] + [False] * 6  # type: ignore[index]
    assert not any(isinstance(part, WrittenBatchNorm) for part in parts)
    assert list(fused.state_dict()) == list(module.state_dict())
