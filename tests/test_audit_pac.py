"""An audit of PAC-private answers: shadow ensembles by the same defence, resumed the same, released and read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from memberwise.cli.main import app
from memberwise.defences.released import load_target
from memberwise.errors import RunFolderError, TargetError

COMMAND = [
    *("audit", "--data", "digits", "--members", "200", "--nonmembers", "200", "--population", "100", "--seed", "5"),
    *("--shadow-models", "2", "--set", "training.epochs=30", "--set", "model.hidden=[16]", "--set", "plan.stack=3"),
    *("--set", 'training.defence={name="pac", worlds=4, share="3/4", max_attack_success=0.55, questions=2000}'),
    *("--attacks", "gap", "--quiet"),
]

pytestmark = pytest.mark.slow


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pac") / "run"
    assert run(*COMMAND, "--out", out).exit_code == 0
    return out


def digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images, data.target


def test_labels_are_attacked_and_what_is_bounded_is_said(folder: Path) -> None:
    result = json.loads((folder / "result.json").read_text())
    assert {attack["name"] for attack in result["attacks"]} == {"gap"}
    assert "pac-bound" in {warning["code"] for warning in result["warnings"]}
    assert result["study"]["answer"][0] == {
        "name": "pac",
        "share": 0.75,
        "max_attack_success": 0.55,
        "questions": 2000,
    }


def test_blocks_lost_are_made_again_the_same(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    for name in ("block-00000.npz", "block-00001.npz"):
        (again / "signals" / name).unlink()
    assert run(*COMMAND, "--out", again, "--resume").exit_code == 0
    assert (again / "scores.csv").read_bytes() == (folder / "scores.csv").read_bytes()


def test_the_released_ensemble_answers_by_its_defence(folder: Path) -> None:
    x, y = digits()
    model, plain = load_target(folder), load_target(folder, policy=False)
    assert (model.policy, model.kind, plain.kind) == (("pac",), "labels", "probabilities")
    labels = model.predict(x[:300])
    np.testing.assert_array_equal(model.predict(x[:300]), labels)
    assert 0.3 < (labels == y[:300]).mean() <= (plain.predict(x[:300]).argmax(-1) == y[:300]).mean() + 0.05
    with pytest.raises(TargetError, match="budget of the bounded answers is spent"):
        model.predict(np.random.default_rng(0).integers(0, 17, (6000, 8, 8)).astype(float))


def test_the_released_file_is_no_target_by_itself(folder: Path, tmp_path: Path) -> None:
    file = folder / "target" / "model.safetensors"
    done = run("audit", "--data", "digits", "--target", file, "--out", tmp_path / "x", "--quiet")
    assert done.exit_code == 2
    assert "holds an ensemble" in done.stderr


def test_a_changed_policy_does_not_free_the_ensemble(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    policy = copy / "policy.toml"
    policy.write_text(policy.read_text().replace("0.55", "0.99"))
    with pytest.raises(RunFolderError, match="not the one with which the model was released"):
        load_target(copy)


def test_pac_answers_of_one_model_are_refused(tmp_path: Path) -> None:
    done = run("audit", "--data", "digits", "--set", 'answer=[{name="pac"}]', "--out", tmp_path / "y", "--quiet")
    assert done.exit_code == 2
    assert "answers from an ensemble" in done.stderr
