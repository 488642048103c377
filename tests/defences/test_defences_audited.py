"""Defences that play, add noise or train several models, through an audit: target and shadow models alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import memberwise as mw
from memberwise.errors import StudyError

SMALL: dict[str, Any] = {
    **{"data": "digits", "members": 150, "nonmembers": 150, "population": 100, "reference": 150},
    **{"shadow_models": 4, "attacks": ["gap", "loss", "lira-online-fixed"], "fpr": [0.1, 0.05], "seed": 2},
}
FAST = {"training.epochs": 5, "training.batch_size": 32, "model.hidden": [32], "plan.threads": 1}


def audited(defence: dict[str, Any] | str, out: Path, **more: Any) -> mw.Result:
    entry = {"name": defence} if isinstance(defence, str) else defence
    return mw.audit(settings=FAST | {"training.defence": entry}, out=out / "run", **(SMALL | more))


@pytest.mark.slow
@pytest.mark.parametrize(
    "defence",
    [
        {"name": "advreg", "attack_steps": 1},
        {"name": "selena", "models": 4, "left_out": 2},
        {"name": "dmp", "keep": 0.5},
    ],
    ids=lambda defence: str(defence["name"]),
)
def test_an_audit_of_each(defence: dict[str, Any], tmp_path: Path) -> None:
    result = audited(defence, tmp_path).to_dict()
    assert {attack["name"] for attack in result["attacks"]} == {"gap", "loss", "lira-online-fixed"}
    assert result["study"]["training"]["defence"]["name"] == defence["name"]
    apart = abs(result["target"]["train_accuracy"] - result["shadow"]["train_accuracy"])
    assert apart < 0.25, "shadow models are trained by the same defence"


@pytest.mark.slow
def test_dp_sgd_says_its_epsilon_and_keeps_below_its_line(tmp_path: Path) -> None:
    result = audited({"name": "dp-sgd", "epsilon": 1.0}, tmp_path).to_dict()
    [message] = [warning["message"] for warning in result["warnings"] if warning["code"] == "dp-epsilon"]
    assert "(1.00, 1e-05)-differentially private" in message
    assert "Renyi accountant of Opacus" in message
    for attack in result["attacks"]:
        for point in attack["tpr_at_fpr"]:
            assert point["low"] <= math.e * point["fpr"] + 1e-5


@pytest.mark.parametrize("defence", ["advreg", "mixup-mmd"])
def test_missing_reference_records_are_told_before_training(defence: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=f"{defence} needs reference records"):
        audited(defence, tmp_path, reference=None)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_batchnorm_under_dp_sgd_is_told_before_training(tmp_path: Path) -> None:
    def normed(classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))

    with pytest.raises(StudyError, match="GroupNorm"):
        audited("dp-sgd", tmp_path, model=normed)
