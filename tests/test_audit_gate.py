"""Gates, contradictions and redaction end to end, on digits with few small models."""

from __future__ import annotations

import json
import stat
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import StudyError
from memberwise.report.junit import junit

SETTINGS = {"training.epochs": 12, "model.hidden": [48]}
SMALL: dict[str, Any] = {
    "members": 200,
    "nonmembers": 200,
    "population": 200,
    "shadow_models": 8,
    "attacks": ["gap", "lira-online-shrunk", "base"],
    "seed": 1,
}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target


@pytest.fixture(scope="module")
def trained(digits: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> mw.Result:
    """A run whose target other audits are given."""
    return mw.audit(model="mlp", data=digits, settings=SETTINGS, out=tmp_path_factory.mktemp("run") / "one", **SMALL)


def rows_of(result: mw.Result) -> np.ndarray:
    return result.scores.loc[result.scores["member"] == 1, "index"].to_numpy()


def audit_given(trained: mw.Result, data: Any, rule: str, epochs: int = 12) -> mw.Result:
    assert trained.folder is not None
    return mw.audit(
        model="mlp",
        data=data,
        target=trained.folder / "target" / "model.safetensors",
        train_rows=rows_of(trained),
        settings=SETTINGS | {"training.epochs": epochs},
        fail_if=rule,
        **{key: value for key, value in SMALL.items() if key != "members"},
    )


@pytest.mark.parametrize("rule", ["tpr@0.05>0.01", "gap:auc>=0.5", "precision>0.5"])
def test_a_limit_that_guessing_reaches_trains_nothing(tmp_path: Path, rule: str) -> None:
    flags = ["--data", "digits", "--members", "200", "--nonmembers", "200", "--shadow-models", "4", "--quiet"]
    done = CliRunner().invoke(app, ["audit", *flags, "--fail-if", rule, "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "at or below what guessing gives" in done.stderr
    assert not (tmp_path / "run").exists()
    member = np.arange(40) < 20
    answers = {"logits": np.zeros((40, 2)), "labels": np.zeros(40, int), "member": member}
    with pytest.raises(StudyError, match="guessing gives"):
        mw.audit(outputs=answers, fail_if=rule)


@pytest.mark.slow
def test_a_target_that_is_asked_as_it_was_trained_may_pass(trained: mw.Result, digits: Any) -> None:
    result = audit_given(trained, digits, "auc>0.95")
    assert (result.exit_code, result.passed) == (0, True), result.to_dict()["verdict"]
    assert result.to_dict()["family"]["decision"] == "passed"


@pytest.mark.slow
def test_target_asked_unlike_its_training_passes_nothing(trained: mw.Result, digits: Any) -> None:
    """Columns in another order: the target is right on few of its own training rows, and nothing leaks any more."""
    x, y = digits
    result = audit_given(trained, (x[:, ::-1].copy(), y), "auc>0.95")
    facts = result.to_dict()
    assert facts["target"]["train_accuracy"] < 0.5
    assert result.exit_code == 3
    assert "target-contradicts" in facts["verdict"]["withheld"]
    assert "its own training rows" in facts["verdict"]["reason"]
    assert "stored" in facts["verdict"]["reason"]
    assert "target-contradicts" in {warning["code"] for warning in facts["warnings"]}
    assert 'skipped="1"' in junit(result.parts), "no test case of a CI server passes"


@pytest.mark.slow
def test_target_of_few_epochs_fails_beside_shadows_of_many() -> None:
    """Labels at random, so that only learning by heart helps."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(700, 40)).astype(np.float32), rng.integers(0, 2, 700)
    settings = SETTINGS | {"training.epochs": 2}
    with tempfile.TemporaryDirectory() as folder:
        short = mw.audit(model="mlp", data=data, settings=settings, out=f"{folder}/run", **SMALL)
        result = audit_given(short, data, "auc>0.9", epochs=40)
    facts = result.to_dict()
    assert facts["target"]["train_accuracy"] + 0.2 < facts["shadow"]["train_accuracy"]
    assert result.exit_code == 3
    assert "its shadow models" in facts["verdict"]["reason"]


@pytest.mark.slow
def test_redaction_from_the_command_line(tmp_path: Path) -> None:
    flags = ["--data", "digits", "--members", "100", "--nonmembers", "100", "--population", "100", "--quiet"]
    flags += ["--attacks", "loss,lira-online-fixed", "--shadow-models", "4", "--set", "training.epochs=4"]
    flags += ["--targets", "3", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, ["audit", *flags])
    assert done.exit_code == 0, done.output
    full = json.loads((tmp_path / "run" / "result.json").read_text())
    done = CliRunner().invoke(app, ["audit", *flags, "--redact"])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(full["records"]["worst"]) == 12
    assert result["records"]["worst"] == []
    assert result["redacted"] == ["records"]
    assert result["shadow"]["resumed"] == 4, "the same models, read again"
    for one, other in zip(full["attacks"], result["attacks"], strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    assert "data:image/png" not in (tmp_path / "run" / "report.html").read_text()
    again = CliRunner().invoke(app, ["report", str(tmp_path / "run")])
    assert again.exit_code == 0, again.output
    blocks = list((tmp_path / "run" / "signals").glob("*.npz"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in blocks} == {0o600}
