"""An audit with two shadow models, and p_y at a temperature from the study to the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import memberwise as mw
from memberwise.attacks import ATTACKS
from memberwise.cli.main import app
from memberwise.report.markdown import summary
from memberwise.signals.codec import lacking
from memberwise.signals.questions import Questions

SMALL: dict[str, Any] = {"data": "digits", "members": 150, "nonmembers": 150, "population": 120, "seed": 2}
FAST = {"training.epochs": 15, "model.hidden": [32]}
NAMES = ["loss", "lira-online-fixed", "base", "base-matched", "rmia-online", "informia"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mw.Result:
    folder = tmp_path_factory.mktemp("run") / "run"
    return mw.audit(**SMALL, attacks=NAMES, shadow_models=2, settings=FAST, fail_if="auc>0.99", out=folder)


@pytest.mark.slow
def test_with_two_models_the_headline_is_base_matched(run: mw.Result) -> None:
    assert run.data["headline"] == "base-matched"
    assert run.data["family"]["names"] == ["rmia-online", "base", "base-matched"]
    assert {a["name"]: a.get("temperature") for a in run.data["attacks"]} == {
        "loss": None, "base": 2.0, "base-matched": None, "rmia-online": 2.0, "informia": 2.0
    }  # fmt: skip
    assert "temperature 2: rmia-online, base, informia" in summary(run.parts)
    assert "<small>temperature 2</small>" in Path(str(run.folder), "report.html").read_text()


def folder_of(result: mw.Result) -> Path:
    assert result.folder is not None
    return result.folder


@pytest.mark.slow
def test_the_loaded_table_gives_the_scores_of_the_run(run: mw.Result) -> None:
    signals, scores = mw.load_signals(folder_of(run)), pd.read_csv(folder_of(run) / "scores.csv")
    order = np.argsort(signals.index, kind="stable")
    assert signals.temperature == 2.0
    for name in ("base", "base-matched", "rmia-online", "informia"):
        again = ATTACKS[name].score(signals, np.random.default_rng(0))[order]
        np.testing.assert_array_equal(scores[name], again, err_msg=name)


@pytest.mark.slow
def test_another_temperature_trains_no_model_again(run: mw.Result, tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of(run), tmp_path / "run")
    plain: dict[str, Any] = {
        "attacks": ["base"],
        "shadow_models": 2,
        "settings": FAST,
        "out": folder,
        "resume": True,
    }
    at_one = mw.audit(**SMALL, **plain, temperature=1)
    assert at_one.data["shadow"]["resumed"] == 2
    assert at_one.data["attacks"][0]["temperature"] == 1.0
    signals = mw.load_signals(folder)
    assert signals.shadows is not None
    p = np.exp(signals.shadows.log_p[:, :, 0].astype(float)).mean(0)
    found = pd.read_csv(folder / "scores.csv")["base"]
    order = np.argsort(signals.index, kind="stable")
    np.testing.assert_allclose(found, (signals.target.log_p[0, :, 0] - np.log(p))[order], atol=1e-5)
    other = mw.audit(**SMALL, **plain, temperature=3)  # not kept: the models answer once more
    assert other.data["shadow"]["resumed"] == 0
    assert other.data["attacks"][0]["temperature"] == 3.0


@pytest.mark.parametrize("value", ["0", "-1", "hot", "true", "nan", "1e9"])
def test_a_temperature_that_is_none_is_refused(value: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["audit", "--temperature", value, "--dry-run", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "attacks.temperature" in done.output


def test_blocks_of_an_earlier_version_lack_temperatures() -> None:
    x, rows = np.zeros((4, 2), np.float32), np.arange(4)
    questions = Questions(x, rows, 4, rows, rows, rows, rows[:0], temperatures=(2.0, 2.8))
    kind = {"kind": np.array(["logits"])}
    assert lacking(kind | {"audited.phi@2.0": x}, questions) == "answers at the temperatures now asked for"
    assert lacking(kind | {"audited.phi@2.0": x, "audited.phi@2.8": x}, questions) == ""
    assert lacking({"kind": np.array(["labels"])}, questions) == ""


@pytest.mark.slow
def test_saved_answers_without_a_population_name_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels, member = rng.integers(0, 3, 120), rng.permutation(120) < 60
    half = rng.permutation(120) < 60
    logits = rng.normal(size=(3, 120, 3))
    outputs = {"logits": logits[0], "labels": labels, "member": member}
    shadows = {"logits": logits[1:], "trained_on": np.stack([half, ~half]).astype(int)}
    result = mw.audit(outputs=outputs, shadow_outputs=shadows, attacks=NAMES, out=tmp_path / "run")
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    reasons = {one["name"]: one["reason"] for one in found["skipped"]}
    assert reasons["base-matched"] == "needs answers on population records, and there are none"
    assert result.data["headline"] == "base"
