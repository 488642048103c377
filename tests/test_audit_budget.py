"""A budget of time, an interrupt and a device that is too small all end in a complete report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import RunFolderError, StudyError, TrainingError
from memberwise.signals.schedule import ShadowRun, TimeBudget
from memberwise.study.duration import seconds_of
from memberwise.training.trainers import stack as engines

SMALL: dict[str, Any] = {
    "data": "digits",
    "members": 200,
    "nonmembers": 200,
    "population": 100,
    "attacks": ["gap", "loss", "lira-online-fixed"],
    "settings": {"training.epochs": 5, "model.hidden": [32], "plan.stack": 4},
}


def test_durations() -> None:
    assert [seconds_of(text) for text in ("90s", "90", "5m", "1h30m", "2h")] == [90, 90, 300, 5400, 7200]
    for text in ("", "soon", "0", "5d", "-3m"):
        with pytest.raises(ValueError, match="a time such as"):
            seconds_of(text)
    with pytest.raises(StudyError, match="a time such as 90s"):
        mw.audit(**SMALL, budget="soon")


@pytest.mark.slow
def test_a_budget_trains_what_fits() -> None:
    """Pairs of models for as long as it lasts, at least one; how many depends on the machine and what else it does."""
    result = mw.audit(**SMALL, budget="8s")  # of which attacks and the report keep six
    shadow = result.to_dict()["shadow"]
    assert shadow["count"] >= 2
    assert shadow["count"] % 2 == 0
    assert result.auc("loss").n_members == 200


def test_the_plan_of_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 s left and 2 s a model: blocks of 16, then what is left, in pairs; a slower first block shrinks the rest."""
    clock = [0.0]
    monkeypatch.setattr("memberwise.signals.gather.time.perf_counter", lambda: clock[0])

    def trained(each: float) -> list[int]:
        clock[0] = 0.0
        jobs = TimeBudget(lambda k: k, 16, ends=100.0, guess=2.0)  # type: ignore[arg-type,return-value]
        so_far, sizes = ShadowRun(), []
        while size := jobs.next_size(so_far.trained, so_far, 0):
            clock[0] += each * size
            so_far.trained, so_far.seconds = so_far.trained + size, so_far.seconds + each * size
            sizes.append(size)
        return sizes

    assert trained(2.0) == [16, 16, 16]
    assert sum(trained(3.0)) in (30, 32)
    assert trained(60.0) == [16], "a block that is begun is ended"
    assert all(size % 2 == 0 for size in trained(1.3))


@pytest.mark.slow
def test_ctrl_c_ends_with_a_report_on_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original: Callable[..., Any] = engines.StackTrainer.run
    calls = []

    def third_time(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(engines.StackTrainer, "run", third_time)
    flags = ["--data", "digits", "--members", "200", "--nonmembers", "200", "--population", "100"]
    flags += ["--attacks", "gap,loss,lira-online-fixed", "--set", "plan.stack=4", "--set", "training.epochs=5"]
    flags += ["--shadow-models", "16", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, ["audit", *flags, "--quiet"])
    assert done.exit_code == 130
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["shadow"]["count"] == 8
    assert "interrupted" in {w["code"] for w in result["warnings"]}
    assert (tmp_path / "run" / "report.html").exists()
    again = CliRunner().invoke(app, ["audit", *flags, "--quiet"])
    assert again.exit_code == 0, again.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["shadow"]["count"], result["shadow"]["resumed"]) == (16, 8)
    assert "interrupted" not in {w["code"] for w in result["warnings"]}


@pytest.mark.slow
def test_a_stack_that_does_not_fit_is_halved_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    original = engines.train_stack  # type: ignore[attr-defined]

    def small_device(jobs: Any, *args: Any, **kwargs: Any) -> Any:
        if len(jobs) > 2:
            raise torch.OutOfMemoryError("no room")
        return original(jobs, *args, **kwargs)

    monkeypatch.setattr(engines, "train_stack", small_device)
    result = mw.audit(**SMALL | {"settings": SMALL["settings"] | {"plan.stack": 8}}, shadow_models=8)
    assert result.to_dict()["shadow"]["plan"]["stack"] == 2
    messages = [w["message"] for w in result.to_dict()["warnings"] if w["code"] == "out-of-memory"]
    assert [m.split(" ")[0] for m in messages] == ["8", "4"]

    def no_room(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(engines, "train_stack", no_room)
    with pytest.raises(TrainingError, match="one model alone"):
        mw.audit(**SMALL, shadow_models=2)


@pytest.mark.slow
def test_a_second_process_on_the_folder_is_refused(tmp_path: Path) -> None:
    from filelock import FileLock

    folder = tmp_path / "run"
    mw.audit(**SMALL, shadow_models=2, out=folder)
    (folder / ".lock.pid").write_text("4711")
    with FileLock(folder / ".lock"), pytest.raises(RunFolderError, match=r"another process(.|\n)*4711"):
        mw.audit(**SMALL, shadow_models=2, out=folder)


@pytest.mark.slow
def test_user_file_with_training_function_reaches_workers(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("SCALE = 2.0\n")
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom beside import SCALE\n\n"
        "def train(x, y, seed):\n"
        "    means = np.stack([x[y == c].reshape((y == c).sum(), -1).mean(0) for c in range(10)])\n"
        "    return lambda r: -SCALE * ((r.reshape(len(r), 1, -1) - means[None]) ** 2).sum(-1)\n"
    )
    two = {"settings": {"plan.threads": 2}}
    result = mw.audit(**SMALL | two, model=f"{tmp_path / 'mine.py'}:train", shadow_models=4)
    assert result.to_dict()["target"]["test_accuracy"] > 0.8


@pytest.mark.slow
def test_a_number_of_shadow_models_or_a_budget(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="leave one of them out"):
        mw.audit(**SMALL, shadow_models=4, budget="9s")
    done = CliRunner().invoke(app, ["audit", "--data", "digits", "--shadow-models", "4", "--budget", "9s"])
    assert done.exit_code == 2
    study = {"shadow": {"budget": "10m"}}
    assert mw.audit(study, **SMALL, shadow_models=4).to_dict()["shadow"]["count"] == 4, "the later wish counts"


@pytest.mark.slow
def test_fewer_and_more_shadow_models_train_each_model_once(tmp_path: Path) -> None:
    def with_models(count: int, folder: str) -> Any:
        return mw.audit(**SMALL, shadow_models=count, out=tmp_path / folder)

    resumed = [with_models(count, "run").to_dict()["shadow"]["resumed"] for count in (4, 8, 2, 8)]
    assert resumed == [0, 4, 2, 8]
    whole, grown = with_models(8, "whole"), with_models(8, "run")
    np.testing.assert_allclose(
        grown.scores["lira-online-fixed"].to_numpy(), whole.scores["lira-online-fixed"].to_numpy(), atol=1e-3
    )


@pytest.mark.slow
def test_a_target_that_was_deleted_or_changed_is_restored(tmp_path: Path) -> None:
    first = mw.audit(**SMALL, shadow_models=4, out=tmp_path)
    weights = tmp_path / "target" / "model.safetensors"
    content = weights.read_bytes()
    for harm in (weights.unlink, lambda: weights.write_bytes(b"garbage")):
        harm()
        again = mw.audit(**SMALL, shadow_models=4, out=tmp_path).to_dict()
        assert "target-restored" in {warning["code"] for warning in again["warnings"]}
        assert weights.read_bytes() == content
        assert again["shadow"]["resumed"] == 4
        assert again["target"] == first.to_dict()["target"]
    calm = mw.audit(**SMALL, shadow_models=4, out=tmp_path).to_dict()
    assert "target-restored" not in {warning["code"] for warning in calm["warnings"]}


@pytest.mark.slow
def test_what_user_code_prints_stays_off_standard_output(tmp_path: Path) -> None:
    """From the main process, from worker processes and from below Python."""
    (tmp_path / "mine.py").write_text(
        "import os\nimport numpy as np\n"
        "def train(x, y, seed):\n"
        "    print('noise')\n    os.write(1, b'more noise\\n')\n"
        "    return lambda x: np.tile(np.linspace(0.05, 0.15, 10), (len(x), 1))\n"
    )
    flags = ["--data", "digits", "--members", "60", "--nonmembers", "60", "--model", f"{tmp_path / 'mine.py'}:train"]
    command = [sys.executable, "-m", "memberwise.cli.main", "audit", *flags, "--shadow-models", "4", "--json"]
    command += ["--attacks", "gap,loss", "--set", "plan.threads=2", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shadow"]["count"] == 4
    assert done.stderr.count("noise") >= 2
