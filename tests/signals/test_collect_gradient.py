"""Norms of gradients against autograd record by record, and the last layer's closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from collector_models import asked_about, gather_extras
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from memberwise.models.network import Network
from memberwise.signals.collectors import gradient
from memberwise.signals.collectors.gradient import GradientNorms
from memberwise.targets.models import TorchModels


def dense() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Dropout(0.5), nn.Linear(9, 4))


class Branching(nn.Module):
    """Looks at its values, which ``vmap`` cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 9), nn.Linear(9, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        return self.last(hidden if hidden.sum() > 0 else -hidden)  # type: ignore[no-any-return]


def stack(make: Any, count: int = 3) -> TorchModels:
    """Models with buffers that evaluation mode must heed."""
    network = Network(make, torch.device("cpu"))
    pairs = [network.init(seed) for seed in range(count)]
    params, buffers = ({name: torch.stack([p[i][name] for p in pairs]) for name in pairs[0][i]} for i in (0, 1))
    if "2.running_mean" in buffers:
        buffers["2.running_mean"] += 0.3
    return TorchModels(network, params, buffers)


def slow(models: Any, i: Any, x: Any, y: Any) -> NDArray[Any]:
    """``(n, 2)`` by ordinary autograd on a module of its own."""
    module = models.network.make()
    module.load_state_dict({name: value[i] for name, value in (models.params | models.buffers).items()})
    module.eval()
    found = []
    for record, label in zip(torch.from_numpy(x), torch.from_numpy(y), strict=True):
        module.zero_grad()
        functional.cross_entropy(module(record[None]), label[None]).backward()
        squares = [p.grad.double().square().sum().item() for p in module.parameters()]
        found.append([np.sqrt(sum(squares)), np.sqrt(sum(squares[-2:]))])
    return np.array(found)


def records(seed: int = 0, count: int = 20) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 6)).astype(np.float32), rng.integers(0, 4, count)


@pytest.mark.parametrize("make", [dense, Branching])
def test_norms_are_those_of_autograd_record_by_record(make: Any) -> None:
    x, y = records()
    models = stack(make)
    arrays = gather_extras(models, asked_about(x, y, GradientNorms(), classes=4), models=3)
    norms = arrays["audited.extra.gradient"]
    assert norms.shape == (3, 20, 2)
    for i in range(3):
        np.testing.assert_allclose(norms[i], slow(models, i, x, y), rtol=1e-4)
    np.testing.assert_array_equal(arrays["audited.extra.gradient.queries"], 1)


def test_the_last_layer_has_a_closed_form() -> None:
    """||p - e_y|| ||(h, 1)|| with the hidden layer h."""
    x, y = records(1)
    models = stack(dense, 1)
    module = models.network.make()
    module.load_state_dict({name: value[0] for name, value in (models.params | models.buffers).items()})
    module.eval()
    with torch.no_grad():
        h = module[:5](torch.from_numpy(x)).double()  # type: ignore[index]
        p = module(torch.from_numpy(x)).double().softmax(-1)
    error = (p - functional.one_hot(torch.from_numpy(y), 4)).norm(dim=1)
    exact = error * torch.cat([h, torch.ones(len(h), 1)], 1).norm(dim=1)
    found = gather_extras(models, asked_about(x, y, GradientNorms(), classes=4))["audited.extra.gradient"][0, :, 1]
    np.testing.assert_allclose(found, exact.numpy(), rtol=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = records(2)
    models, questions = stack(dense, 1), asked_about(x, y, GradientNorms(), classes=4)
    whole = gather_extras(models, questions)["audited.extra.gradient"]
    monkeypatch.setattr(gradient, "CHUNK_VALUES", 500)
    np.testing.assert_allclose(gather_extras(models, questions)["audited.extra.gradient"], whole, rtol=1e-5)


def test_what_has_no_weights_has_no_gradients() -> None:
    from collector_models import Linear

    x, y = records(3)
    arrays = gather_extras(Linear(np.ones(6, np.float32), 0), asked_about(x, y, GradientNorms()))
    assert list(arrays) == ["extra.gradient"]
