"""Audits of models that answer several binary labels a record: training, asking, releasing, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import StudyError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 12)).astype(np.float32)
Y = (X[:, :3] + RNG.normal(size=(240, 3)) > 0.5).astype(int)
SIZES: dict[str, Any] = {"members": 60, "nonmembers": 60, "population": 60, "shadow_models": 4}
FAST: dict[str, Any] = {"training.epochs": 8, "model.hidden": [32], "training.batch_size": 32}


def audit(model: Any = "mlp", data: Any = (X, Y), **more: Any) -> Any:
    settings = ({} if model != "mlp" else FAST) | {"training.epochs": 8} | more.pop("settings", {})
    return mw.audit(model=model, data=data, settings=settings, **SIZES | more)


class Sigmoids(nn.Module):
    def __init__(self, classes: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, classes))

    def forward(self, x: Any) -> Any:
        return torch.sigmoid(self.layers(x))


class Logits(Sigmoids):
    def forward(self, x: Any) -> Any:
        return self.layers(x)


@pytest.mark.slow
def test_default_audit_of_labels_runs_what_makes_sense() -> None:
    facts = audit(shadow_models=8).to_dict()
    ran = {attack["name"] for attack in facts["attacks"]}
    assert {"gap", "loss", "lira-online", "rmia-online", "base", "attack-r", "learned"} <= ran
    reasons = {one["name"]: one["reason"] for one in facts["skipped"]}
    assert "one class a record" in reasons["confidence"]
    assert "one class a record" in reasons["loss-classwise"]
    assert all(0.5 < facts["target"][f"{side}_accuracy"] <= 1 for side in ("train", "test"))
    assert 0.5 < facts["target"]["test_auroc"] <= 1
    assert {"several-labels"} <= {warning["code"] for warning in facts["warnings"]}


def test_dry_run_of_labels_names_no_attack_made_for_one_class(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    told = CliRunner().invoke(app, ["audit", "--data", str(tmp_path / "data.npz"), "--dry-run", "--json"])
    attacks = set(json.loads(told.stdout)["attacks"])
    assert {"gap", "loss", "base"} <= attacks
    assert not attacks & {"confidence", "entropy", "shokri", "loss-classwise"}


@pytest.mark.slow
def test_module_ending_in_sigmoids_is_trained_like_its_logits(tmp_path: Path) -> None:
    facts = [audit(model, seed=1, out=tmp_path / model.__name__).to_dict()["target"] for model in (Sigmoids, Logits)]
    assert facts[0]["train_loss"] == pytest.approx(facts[1]["train_loss"], rel=1e-3)
    released = [mw.load_target(tmp_path / model.__name__, model=model).predict(X[:9]) for model in (Sigmoids, Logits)]
    np.testing.assert_allclose(released[0], released[1], atol=1e-3)


@pytest.mark.slow
def test_training_function_is_given_the_labels_themselves() -> None:
    def train(x: Any, y: Any, seed: int) -> Any:
        assert y.shape == (60, 3)
        assert set(np.unique(y)) <= {0, 1}
        rates = y.mean(0)
        return lambda x: np.tile(rates, (len(x), 1))

    facts = audit(train, attacks=["loss"], settings={"plan.threads": 1}).to_dict()
    shares = [max(rate, 1 - rate) for rate in Y.mean(0)]
    assert facts["target"]["test_accuracy"] == pytest.approx(np.mean(shares), abs=0.15)


@pytest.mark.slow
def test_label_columns_of_a_table_are_named_with_commas() -> None:
    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(12)]).assign(a=Y[:, 0], b=Y[:, 1], c=Y[:, 2])
    facts = audit(data=frame, label="a,b,c", attacks=["loss"], nonmembers=60).to_dict()
    assert facts["data"]["class_names"] == ["a", "b", "c"]
    assert facts["encoding"]["features"] == 12


@pytest.mark.slow
def test_one_class_written_as_one_hot_labels_ranks_alike() -> None:
    y = np.digitize(X[:, 0] + X[:, 1] + RNG.normal(size=240), [-1.0, 1.0])
    sizes = {"members": 110, "nonmembers": 110, "population": 20, "shadow_models": 8, "seed": 3}
    settings = {"training.epochs": 30}
    one, hot = (
        audit(data=(X, labels), attacks=["lira-online"], settings=settings, **sizes) for labels in (y, np.eye(3)[y])
    )
    scores = [result.scores["lira-online"] for result in (one, hot)]
    assert one.auc("lira-online").value > 0.6
    assert hot.auc("lira-online").value == pytest.approx(one.auc("lira-online").value, abs=0.1)
    assert pd.Series(scores[0]).corr(pd.Series(scores[1]), method="spearman") > 0.5
    assert "one-hot-labels" in {warning["code"] for warning in hot.to_dict()["warnings"]}


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        ({"training.augment": ["mixup"]}, "mlp"),
        ({"training.defence": "dp-sgd"}, "mlp"),
        ({"answer": ["rounding"]}, "mlp"),
        ({"training.patience": 2, "data.validation": 20}, "mlp"),
        ({}, "sklearn.linear_model:LogisticRegression"),
    ],
)
def test_what_is_made_for_one_class_is_refused_for_labels(settings: Any, model: Any) -> None:
    with pytest.raises(StudyError, match=r"one class a record|tables"):
        audit(model, settings=settings)
