"""Modules that end in a softmax or in sigmoids: answers are what they are, and nothing is softmaxed twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

import memberwise as mw
from memberwise.models.ending import with_ending
from memberwise.models.network import Network
from memberwise.models.randomness import step_keys

X = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
CPU = torch.device("cpu")


class Differently(nn.Module):
    """With a softmax in one mode only, as many release them."""

    def __init__(self, training: bool) -> None:
        super().__init__()
        self.out, self.when = nn.Linear(20, 5), training

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.out(x)
        return z.softmax(1) if self.training is self.when else z


def ending(*last: nn.Module, hidden: int = 1, norm: bool = False) -> Any:
    layers = [part for _ in range(hidden) for part in (nn.Linear(20, 20), nn.ReLU())]
    return nn.Sequential(*layers, *([nn.BatchNorm1d(20)] if norm else []), nn.Dropout(0.2), nn.Linear(20, 5), *last)


CASES = {
    "nothing": (lambda: ending(), ("logits", "logits")),
    "softmax": (lambda: ending(nn.Softmax(1)), ("probabilities", "probabilities")),
    "softmax after BatchNorm": (lambda: ending(nn.Softmax(-1), norm=True), ("probabilities", "probabilities")),
    "softmax of a deep one": (lambda: ending(nn.Softmax(1), hidden=30), ("probabilities", "probabilities")),
    "log-softmax": (lambda: ending(nn.LogSoftmax(1)), ("logits", "logits")),
    "sigmoids": (lambda: ending(nn.Sigmoid()), ("scores", "scores")),
    "ReLU": (lambda: ending(nn.ReLU()), ("logits", "logits")),
    "tanh": (lambda: ending(nn.Tanh()), ("logits", "logits")),
    "softmax when asked": (lambda: Differently(False), ("probabilities", "logits")),
    "softmax when trained": (lambda: Differently(True), ("logits", "probabilities")),
}


@pytest.mark.parametrize(("make", "kinds"), CASES.values(), ids=CASES.keys())
def test_what_a_module_answers_is_told_in_either_mode(make: Any, kinds: tuple[str, str]) -> None:
    network = with_ending(Network(make, CPU), X)
    assert (network.kind, network.training_kind) == kinds


def test_a_module_is_not_used_up_by_looking_at_it() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.calls = nn.Linear(20, 5), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.out(x)  # type: ignore[no-any-return]

    assert with_ending(Network(Counting, CPU), X).module.calls == 0


@pytest.mark.parametrize("key", [None, step_keys(0, 1)[0]], ids=["asked", "trained"])
def test_logits_and_gradients_equal_module_without_softmax(key: Tensor | None) -> None:
    bare, ended = (with_ending(Network(make, CPU), X) for make in (CASES["nothing"][0], CASES["softmax"][0]))
    params, buffers = bare.init(3)
    labels = torch.arange(64) % 5
    found = []
    for network in (bare, ended):
        leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
        loss = functional.cross_entropy(network(leaves, buffers, X, key)[0], labels)
        found.append((loss, *torch.autograd.grad(loss, list(leaves.values()))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


def bare() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def ended() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(1))


COMMON: dict[str, Any] = {"members": 200, "nonmembers": 200, "shadow_models": 6, "seed": 4}
COMMON |= {"attacks": ["loss", "lira-online-fixed"], "settings": {"training.epochs": 15, "plan.precision": "float32"}}


@pytest.mark.slow
def test_audit_with_softmax_has_the_figures_of_one_without(digits: Any) -> None:
    one, other = (mw.audit(model=make, data=digits, **COMMON) for make in (bare, ended))
    for part in ("target", "shadow"):
        for name in ("train_accuracy", "test_accuracy"):
            assert other.to_dict()[part][name] == pytest.approx(one.to_dict()[part][name], abs=0.015)
    for name in ("train_loss", "test_loss"):
        assert other.to_dict()["target"][name] == pytest.approx(one.to_dict()["target"][name], rel=0.05)
    for attack in ("loss", "lira-online-fixed"):
        assert other.auc(attack).value == pytest.approx(one.auc(attack).value, abs=0.02)
    assert "answers-are-probabilities" in {warning["code"] for warning in other.to_dict()["warnings"]}
    assert not {w["code"] for w in one.to_dict()["warnings"]} & {"answers-are-probabilities", "answers-are-scores"}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_a_trained_target_that_ends_so_has_its_own_loss(digits: Any, end: str) -> None:
    """The mean of -log p_y by hand; through a second softmax it would be 1.46 at least."""
    x, y = digits
    rows = np.arange(300)
    torch.manual_seed(0)
    target = bare()
    optimiser = torch.optim.Adam(target.parameters(), 0.01)
    for _ in range(200):
        loss = functional.cross_entropy(target(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    target.append(nn.Softmax(1) if end == "softmax" else nn.Sigmoid())  # type: ignore[operator]
    for value in target.parameters():
        value.requires_grad_(False)  # as for use
    result = mw.audit(
        model=ended,
        target=target.train(),
        train_rows=rows,
        data=digits,
        **COMMON | {"members": rows, "nonmembers": 300},
    )
    with torch.no_grad():
        own = target.eval()(torch.from_numpy(x[rows])).double().numpy()[np.arange(300), y[rows]]
    assert result.to_dict()["target"]["train_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-4)
    codes = {warning["code"] for warning in result.to_dict()["warnings"]}
    assert f"answers-are-{'probabilities' if end == 'softmax' else 'scores'}" in codes
