"""Audits of modules which no written-out step may take: the same figures by every way to train, and told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from torch import nn

import memberwise as mw

WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": {"plan.precision": "bfloat16", "plan.stack": 2},
    "dp-sgd": {
        "training.defence.name": "dp-sgd",
        "training.defence.noise_multiplier": 0.0,
        "training.defence.clip": 1e6,
    },
}


def reused() -> nn.Module:
    """One activation in three places, as is usual."""
    act = nn.ReLU()
    return nn.Sequential(nn.Linear(64, 32), act, nn.Linear(32, 32), act, nn.Linear(32, 32), act, nn.Linear(32, 10))


def separate() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU()), nn.Linear(32, 10)
    )


def frozen_bias() -> nn.Module:
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    nn.init.constant_(module[0].bias, 3.0)  # type: ignore[arg-type]
    module[0].bias.requires_grad_(False)
    return module


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    module[0].requires_grad_(False)
    return module


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    module[2].weight = module[0].weight
    return module


def normed() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 32)), nn.ReLU(), nn.Linear(32, 10))


def audit(make: Callable[[], nn.Module], way: str) -> dict[str, Any]:
    x, y = load_digits(return_X_y=True)
    settings = {"training.epochs": 5, "training.batch_size": 20, "plan.threads": 1} | WAYS[way]
    data = ((x / 8 - 1).astype(np.float32), y)
    sizes = {"members": 200, "nonmembers": 200, "shadow_models": 2}
    return mw.audit(model=make, data=data, attacks=["loss"], settings=settings, seed=3, **sizes).to_dict()  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_activation_used_again_is_one_more_activation(way: str) -> None:
    once, again = audit(separate, way), audit(reused, way)
    for part in ("target", "shadow"):
        for figure in ("train_accuracy", "test_accuracy"):
            assert again[part][figure] == once[part][figure]
    assert again["attacks"][0]["auc"] == once["attacks"][0]["auc"]
    assert not [note for note in again["warnings"] if note["code"] == "general-path"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize("make", [frozen, frozen_bias, tied, normed])
def test_what_is_not_written_out_trains_the_same_and_is_told(make: Callable[[], nn.Module]) -> None:
    plain, half, private = (audit(make, way) for way in WAYS)
    assert not [note for note in plain["warnings"] if note["code"] == "general-path"]
    assert plain["target"]["train_accuracy"] > 0.2, "it learns"
    assert half["target"]["train_loss"] == pytest.approx(plain["target"]["train_loss"], rel=0.05)
    assert private["target"]["train_loss"] < 0.9 * np.log(10), "other batches, so other figures, but it learns"
    for result, step in ((half, "the written-out step of"), (private, "DP-SGD's written-out step")):
        [message] = [note["message"] for note in result["warnings"] if note["code"] == "general-path"]
        assert step in message
        assert "general path" in message
