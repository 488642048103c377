"""Max-pooling by slices is torch's own max-pooling, ties and gradient included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from memberwise.training.steppers.pooling import SlicedMaxPool, as_fused


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(2, 2), (3, 3), (1, 4), (3, 2)])
@pytest.mark.parametrize("tied", [False, True])
def test_values_and_gradients_are_equal(size: tuple[int, int], dtype: torch.dtype, tied: bool) -> None:
    """13 x 14 pixels fill no whole number of most windows; rounded to halves most windows have ties."""
    rng = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, 13, 14, generator=rng)
    x = ((2 * x).round() / 2 if tied else x).to(dtype)
    found = []
    for pool in (nn.MaxPool2d(size), SlicedMaxPool(size)):
        leaf = x.clone().requires_grad_()
        pooled = pool(leaf)
        weight = torch.arange(pooled.numel()).view(pooled.shape).to(dtype)
        found.append((pooled.detach(), *torch.autograd.grad(pooled, leaf, weight)))
    (values, gradient), (sliced, same) = found
    assert torch.equal(sliced, values)
    assert torch.equal(same, gradient)


def test_only_plain_pools_are_replaced_and_only_in_the_copy() -> None:
    pools = [
        *(nn.MaxPool2d(2), nn.MaxPool2d((2, 3)), nn.MaxPool2d(3, 2), nn.MaxPool2d(2, padding=1), nn.MaxPool2d(5)),
        *(nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, return_indices=True)),
    ]
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(*pools))
    sliced = as_fused(module)
    inner = sliced[1]  # type: ignore[index]
    assert isinstance(inner, nn.Sequential)
    assert [type(part) is SlicedMaxPool for part in inner] == [True, True] + [False] * 6
    assert all(type(part) is nn.MaxPool2d for part in pools)
    assert list(sliced.state_dict()) == list(module.state_dict())
