"""Models of two classes that answer one number a record count as models of two classes, however they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import expit, log_expit
from torch import nn

import memberwise as mw
from memberwise.models.one_logit import number_kind, two_columns, widened_module

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5)).astype(np.float32)
Y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
FEW: dict[str, Any] = {"members": 80, "nonmembers": 80, "shadow_models": 2, "attacks": ["loss"], "seed": 1}


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))


def make_flat_sigmoid() -> nn.Module:
    return nn.Sequential(make_model(), nn.Sigmoid(), nn.Flatten(0))


def train(x: Any, y: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    module = make_model()
    return lambda records: module(torch.as_tensor(records)).detach().numpy()[:, 0]


def test_two_columns_are_a_softmax_of_the_sigmoid() -> None:
    z = np.random.default_rng(1).normal(scale=5, size=50)
    logits, probabilities = two_columns(z, "logits"), two_columns(expit(z), "probabilities")
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), probabilities, atol=1e-12)
    assert number_kind(z) == "logits"
    assert number_kind(expit(z)) == "probabilities"


@pytest.mark.parametrize(("make", "kind"), [(make_model, "logits"), (make_flat_sigmoid, "probabilities")])
def test_one_number_is_told_by_how_it_grows(make: Any, kind: Any) -> None:
    torch.manual_seed(0)
    module = make()
    alone = module(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(
        widened_module(module, X[:20])(torch.from_numpy(X)).detach().numpy(), two_columns(alone, kind), rtol=1e-6
    )


@pytest.mark.slow
def test_module_trains_and_is_released_as_two_classes(tmp_path: Path) -> None:
    mw.audit(model=make_model, data=(X, Y), settings={"training.epochs": 8}, out=tmp_path, **FEW)
    module = make_model()
    module.load_state_dict(load_file(tmp_path / "target" / "model.safetensors"))
    z = module(torch.from_numpy(X)).detach().numpy()[:, 0].astype(float)
    np.testing.assert_allclose(mw.load_target(tmp_path, model=make_model).predict(X)[:, 1], expit(z), atol=1e-6)
    signals = mw.load_signals(tmp_path, data=(X, Y))
    wanted = log_expit(np.where(Y == 1, z, -z))[signals.index]
    np.testing.assert_allclose(signals.target.log_p[0, :, 0], wanted, atol=1e-5)
    assert (np.where(Y == 1, z, -z) > 0).mean() > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("given", ["module", "logits", "probabilities"])
def test_given_target_answers_as_its_number_says(given: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    module = make_model()
    z = module(torch.from_numpy(X)).detach().numpy()[:, 0].astype(float)
    functions = {
        "module": module,
        "logits": lambda x: module(torch.from_numpy(x)),
        "probabilities": lambda x: module(torch.from_numpy(x)).sigmoid()[:, 0],
    }
    given_target: dict[str, Any] = {"target": functions[given], "train_rows": np.arange(150), "model": train}
    few = FEW | {"members": 80, "nonmembers": 80}
    mw.audit(data=(X, Y), out=tmp_path, settings={"shadow.allow_size_mismatch": True}, **few | given_target)
    signals = mw.load_signals(tmp_path, data=(X, Y), train_rows=np.arange(150))
    wanted = log_expit(np.where(Y == 1, z, -z))[signals.index]
    np.testing.assert_allclose(signals.target.log_p[0, :, 0], wanted, atol=1e-5)
    assert signals.shadows is not None
    assert signals.shadows.log_p.shape == (2, 160, 1)
