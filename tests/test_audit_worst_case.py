"""Canaries, coins and targets in turn, end to end on digits with few small models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import StudyError

FAST = {"training.epochs": 12, "model.hidden": [32]}
COMMON: dict[str, Any] = {
    "data": "digits",
    "members": 150,
    "nonmembers": 150,
    "population": 100,
    "shadow_models": 8,
    "attacks": ["lira-online-fixed"],
    "seed": 1,
}


@pytest.mark.slow
def test_canaries_and_targets_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    flags = ["--data", "digits", "--members", "150", "--nonmembers", "150", "--population", "100", "--seed", "1"]
    flags += ["--set", "training.epochs=20", "--set", "model.hidden=[48]", "--attacks", "loss,lira-online-fixed"]
    flags += ["--canaries", "60", "--shadow-models", "8", "--targets", "4", "--out", str(out), "--quiet"]
    done = CliRunner().invoke(app, ["audit", *flags])
    assert done.exit_code == 0, done.output
    assert "60 canaries with a wrong label under 9 models in turn" in " ".join(done.output.split())
    result = json.loads((out / "result.json").read_text())
    assert result["data"]["members"] == result["data"]["nonmembers"] == 30
    assert result["data"]["background"] == 240
    assert result["canaries"]["models"] == 9
    assert result["canaries"]["tpr_at_fpr"][0]["value"] > 0.2, "wrong labels are learned by heart"
    assert result["targets"]["count"] == 4
    assert result["epsilon"]["basis"] == "many runs"
    assert result["target"]["test_accuracy"] > 0.7, "measured on clean records"
    scores = np.loadtxt(out / "scores.csv", delimiter=",", skiprows=1, usecols=(0, 1, 2))
    y = load_digits().target
    assert (scores[:, 1] != y[scores[:, 0].astype(int)]).all(), "every canary is mislabelled, in its own row"
    page = (out / "report.html").read_text()
    assert 'id="canaries"' in page
    assert 'id="targets"' in page

    again = CliRunner().invoke(app, ["audit", *flags])
    assert again.exit_code == 0
    second = json.loads((out / "result.json").read_text())
    assert second["shadow"]["resumed"] == 8
    for part in ("canaries", "targets", "discoveries", "epsilon", "attacks"):
        assert _timeless(second[part]) == _timeless(result[part]), part
    compared = CliRunner().invoke(app, ["report", str(out), str(out)])
    assert compared.exit_code == 0
    other = CliRunner().invoke(app, ["audit", *flags, "--canary-kind", "near-duplicate"])
    assert other.exit_code == 2
    assert "canaries.kind" in other.output + other.stderr


def _timeless(part: Any) -> Any:
    if isinstance(part, list):
        return [_timeless(inner) for inner in part]
    return {k: v for k, v in part.items() if k != "seconds"} if isinstance(part, dict) else part


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["out-of-distribution", "near-duplicate"])
def test_other_kinds_of_canaries(kind: str) -> None:
    result = mw.audit(settings=FAST | {"canaries.count": 40, "canaries.kind": kind}, **COMMON | {"shadow_models": 4})
    facts = result.to_dict()
    assert facts["data"]["members"] == 20
    assert facts["data"]["background"] == {"out-of-distribution": 300, "near-duplicate": 300}[kind]
    assert facts["data"]["records"] == 1797 + 40
    assert result.auc().value > 0.5


@pytest.mark.slow
def test_coins_bound_epsilon_and_may_be_gated_on() -> None:
    result = mw.audit(settings=FAST | {"data.coins": True}, fail_if="epsilon>5", **COMMON)
    facts = result.to_dict()
    assert facts["data"]["members"] + facts["data"]["nonmembers"] == 300
    assert facts["data"]["members"] != 150
    assert facts["epsilon"]["basis"] == "one-run coins"
    assert "300 coins" in facts["epsilon"]["method"]
    assert (result.exit_code, facts["verdict"]["passed"]) == (3, None)
    with pytest.raises(StudyError, match="epsilon cannot be gated on"):
        mw.audit(settings=FAST, fail_if="epsilon>5", **COMMON)


@pytest.mark.slow
def test_saved_answers_may_have_been_drawn_by_coins() -> None:
    rng = np.random.default_rng(0)
    member, y = rng.random(500) < 0.5, rng.integers(0, 3, 500)
    z = rng.normal(size=(500, 3))
    z[np.arange(500), y] += np.where(member, 8, 0)
    outputs = {"logits": z, "labels": y, "member": member}
    bound = mw.audit(outputs=outputs, settings={"data.coins": True}, fail_if="epsilon>1")
    assert (bound.exit_code, bound.to_dict()["epsilon"]["basis"]) == (1, "one-run coins")
    plain = mw.audit(outputs=outputs)
    assert "descriptive" in plain.to_dict()["epsilon"]["basis"]


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({"members": np.arange(100), "nonmembers": np.arange(100, 200)}, {"data.coins": True}, "not drawn by coins"),
        ({"population": 0}, {"canaries.count": 20}, "measure accuracy"),
        ({}, {"canaries.count": 400}, "not so many records"),
        ({}, {"statistics.targets": 10}, "more models are to take"),
    ],
)
def test_what_cannot_be_is_a_usage_error(more: dict[str, Any], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        mw.audit(settings=FAST | settings, **COMMON | more)


def test_a_target_that_is_trained_already_has_no_canaries() -> None:
    from torch import nn

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    for settings in ({"canaries.count": 20}, {"data.coins": True}):
        with pytest.raises(StudyError, match="trained already"):
            mw.audit(target=model, train_rows=np.arange(300), data="digits", settings=FAST | settings, shadow_models=4)
