"""Torch's optimisers by their functional form, and the gradient of a stack: against torch's classes and transforms."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import vmap

from memberwise.models.network import Network
from memberwise.study.schema import TrainingConfig
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State, Step
from memberwise.training.steppers.base import stack_models, stacked_update

SGD = {"optimizer": "sgd"}


class _Normed(nn.Module):
    """With a buffer that a step moves, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 4))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def recipe(**keys: object) -> Recipe:
    return Recipe.of(TrainingConfig.model_validate({"learning_rate": 0.2, **keys}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("keys", "reference"),
    [
        (SGD | {"momentum": 0.9, "weight_decay": 0.01}, lambda p: torch.optim.SGD(p, 0.2, 0.9, weight_decay=0.01)),
        (SGD | {"momentum": 0.9, "nesterov": True}, lambda p: torch.optim.SGD(p, 0.2, 0.9, nesterov=True)),
        (SGD | {"momentum": 0.0}, lambda p: torch.optim.SGD(p, 0.2)),
        ({"optimizer": "adam", "weight_decay": 0.01}, lambda p: torch.optim.Adam(p, 0.2, weight_decay=0.01)),
        ({"optimizer": "adamw", "weight_decay": 0.01}, lambda p: torch.optim.AdamW(p, 0.2, weight_decay=0.01)),
    ],
)
def test_updates_are_those_of_torchs_classes(keys: dict[str, object], reference: object, dtype: torch.dtype) -> None:
    """Five steps with a rate that changes; the second parameter never has a gradient."""
    rng = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=rng, dtype=dtype) for shape in ((3, 4, 2), (5,), (7, 1))]
    theirs = [torch.nn.Parameter(value.clone()) for value in ours]
    made, other = recipe(**keys).optimiser(ours), reference(theirs)  # type: ignore[operator]
    for group in other.param_groups:
        group["fused"], group["foreach"] = dtype is torch.float32, False
    for step in range(5):
        rate = 0.2 / (1 + step)
        gradients = [None if k == 1 else torch.randn(p.shape, generator=rng, dtype=dtype) for k, p in enumerate(ours)]
        for group, (param, gradient) in zip(other.param_groups * 3, zip(theirs, gradients, strict=True), strict=True):
            group["lr"], param.grad = rate, None if gradient is None else gradient.clone()
        made.step(gradients, rate)
        other.step()
    for mine, param in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.numpy(), param.detach().numpy())


@pytest.mark.parametrize("masked", [False, True])
def test_a_stacks_gradient_is_each_models_own(masked: bool) -> None:
    """Against ``torch.func.grad`` of one model under ``vmap``, to rounding; one parameter has no part in the loss."""
    network = Network(_Normed, torch.device("cpu"))
    params, buffers = zip(*(network.init(seed) for seed in range(3)), strict=True)
    stack, state = stack_models(list(params)), State(stack_models(list(buffers)), {})
    rng = torch.Generator().manual_seed(0)
    mask = torch.tensor([[1.0] * 8, [1.0] * 5 + [0.0] * 3, [1.0] * 7 + [0.0]]) if masked else None
    x, target = torch.randn(3, 8, 6, generator=rng), torch.randint(4, (3, 8), generator=rng)
    batch = Batch(x, target, torch.arange(8).expand(3, 8), mask, torch.zeros(3, dtype=torch.long))
    keys, step = torch.arange(3), Step(0.1)

    axes = Batch(0, 0, 0, 0 if masked else None, 0)  # type: ignore[arg-type]
    expected, losses, after = vmap(partial(step.update, network), in_dims=(0, 0, axes, 0))(stack, state, batch, keys)
    found, found_losses, found_after = stacked_update(step, network, stack, state, batch, keys)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found_losses, losses, rtol=0, atol=0)
    torch.testing.assert_close(found_after.buffers, after.buffers, rtol=0, atol=0)
    assert not any(value.requires_grad for value in (found_losses, *found.values(), *found_after.buffers.values()))
