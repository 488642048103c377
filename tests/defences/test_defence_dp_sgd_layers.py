"""DP-SGD layer by layer is DP-SGD record by record, without the records' gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from memberwise.defences.training import dp_sgd_layers
from memberwise.defences.training.dp_sgd_layers import layers_of, patches
from memberwise.defences.training.dp_sgd_step import DpSgd
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys
from memberwise.study.schema import TrainingConfig
from memberwise.training.equality import examined, why_general
from memberwise.training.job import Job
from memberwise.training.loop import train_stack
from memberwise.training.recipe import Recipe
from memberwise.training.step import Batch, State
from memberwise.training.tensors import DataTensors

CPU = torch.device("cpu")
RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(40, 4, 7, 6)).astype(np.float32), RNG.integers(0, 3, 40)
DATA = DataTensors.of(X, Y, 3, CPU)
KEY = step_keys(0, 1)[0]


def strided() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2), nn.Tanh()),
        *(nn.Conv2d(6, 5, 1, bias=False), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, 3)),
    )


def normed() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(4, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.ReLU(inplace=True)),
        *(nn.Flatten(2), nn.LayerNorm(42), nn.Linear(42, 5), nn.Tanh(), nn.Flatten(), nn.LayerNorm(30)),
        nn.Linear(30, 3, bias=False),
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.last((self.second(self.first(x).relu()) + x).mean((2, 3)))
        return answers


def batch(masked: bool = True) -> Batch:
    mask = (torch.arange(20) < 14).float() if masked else None
    return Batch(DATA.x[:20], DATA.y[:20], torch.arange(20), mask, torch.tensor(0))


def sums(network: Network, part: Batch, clip: float = 0.3, smoothing: float = 0.1) -> tuple[dict[str, Tensor], Tensor]:
    params, buffers = network.init(1)
    return DpSgd(0.0, clip, 20.0, smoothing).clipped_sum(network, params, State(buffers, {}), part, KEY)


def job(noise: float = 0.0, seed: int = 3) -> Job:
    recipe = Recipe.of(TrainingConfig(epochs=2, batch_size=8, learning_rate=0.1))
    return Job(np.random.default_rng(seed).permutation(40)[:24], DpSgd(noise, 0.3, 8.0), recipe, seed)


MODULES = pytest.mark.parametrize("make", [strided, normed, Residual])


@MODULES
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("room", [32_000_000, 2000])
def test_the_sum_is_that_of_record_gradients(
    make: Callable[[], nn.Module], masked: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With little room the gradients of a layer are made in parts, twice."""
    monkeypatch.setattr(dp_sgd_layers, "BYTES", room)
    network = Network(make, CPU)
    assert network.trials == {}
    total, losses = sums(network, batch(masked))
    assert next(iter(network.trials.values())) is not None, "it went by layers"
    expected, same = sums(network.generally(), batch(masked))
    torch.testing.assert_close(losses, same)
    assert [*total] == [*expected]
    for name, value in expected.items():
        torch.testing.assert_close(total[name], value, rtol=1e-4, atol=1e-6)


@MODULES
def test_the_proof_holds_and_models_train_alike(make: Callable[[], nn.Module]) -> None:
    for compute in (Network(make, CPU), Network(make, CPU).computing(torch.bfloat16, torch.channels_last)):
        assert why_general(compute, job(), DATA, stacked=False, compiled=False) is None
        assert not examined(compute, job(), DATA, stacked=False).general
    network = Network(make, CPU)
    stack = train_stack([job(0.5, 3), job(0.5, 4)], network, DATA)
    for ours in (
        train_stack([job(0.5, 4)], network, DATA, stacked=False),
        train_stack([job(0.5, 4)], network.generally(), DATA),
    ):
        for name, value in stack.params.items():
            torch.testing.assert_close(ours.params[name][0], value[1], rtol=1e-3, atol=1e-4)


def test_no_record_gradients_of_the_network_are_made() -> None:
    """No tensor of a step holds a tenth of what twenty records' gradients would."""
    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            for one in result if isinstance(result, (tuple, list)) else [result]:
                largest = max(largest, one.untyped_storage().nbytes() // 4 if isinstance(one, Tensor) else 0)
            return result

    network = Network(
        lambda: nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(40, 2000), nn.ReLU(), nn.Linear(2000, 3)), CPU
    )
    sums(network, batch())
    with Sizes():  # type: ignore[no-untyped-call]
        sums(network, batch())
    assert 40 * 2000 <= largest < network.parameters * 20 / 10, "the largest is the sum, or as large"


def test_mistakes_are_found_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    right, squares = dp_sgd_layers.record_gradients, dp_sgd_layers._outer_squares
    wrong = {
        "record_gradients": lambda one: {kind: 1.02 * value for kind, value in right(one).items()},
        "_outer_squares": lambda one: 0.9 * squares(one),
        "_weighted": lambda gradients, weights: {k: v.sum(0) for k, v in gradients.items()},
    }
    for name, function in wrong.items():
        with monkeypatch.context() as patch:
            patch.setattr(dp_sgd_layers, name, function)
            network = Network(strided, CPU)
            message = why_general(network, job(), DATA, stacked=False, compiled=False)
            assert message is not None, name
            assert "DP-SGD's step by layers is given up" in message


def test_other_modules_go_the_general_way() -> None:
    frozen, twice = nn.Sequential(nn.Flatten(), nn.Linear(168, 3)), nn.Linear(168, 168)
    frozen[1].weight.requires_grad_(False)
    assert layers_of(frozen) is None
    tied = nn.Sequential(nn.Flatten(), twice, twice, nn.Linear(168, 3))
    assert layers_of(tied) is None
    assert layers_of(nn.Sequential(nn.Conv2d(4, 4, 1, padding="same"), nn.Flatten(), nn.Linear(168, 3))) is None
    assert layers_of(nn.Sequential(nn.ConvTranspose2d(4, 4, 1), nn.Flatten(), nn.Linear(168, 3))) is None
    assert layers_of(nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(168, 3)))) is None


def test_a_layer_called_twice_goes_the_general_way() -> None:
    class Twice(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.first(x))

    network = Network(Twice, CPU)
    assert layers_of(network.module) is not None
    for name, value in sums(network.generally(), batch())[0].items():
        torch.testing.assert_close(sums(network, batch())[0][name], value)
    assert [*network.trials.values()] == [None], "it was seen that it is"


@pytest.mark.parametrize(("stride", "dilation", "padding"), [((1, 1), (1, 1), (0, 0)), ((2, 3), (2, 1), (1, 2))])
def test_patches_are_those_of_unfold(
    stride: tuple[int, int], dilation: tuple[int, int], padding: tuple[int, int]
) -> None:
    layer = nn.Conv2d(4, 6, (3, 2), stride, padding, dilation, groups=2)
    size = layer(DATA.x).shape[2:]
    expected = functional.unfold(DATA.x, (3, 2), dilation, padding, stride)
    assert torch.equal(patches(DATA.x, layer, size).flatten(1, 2), expected)
