"""Killed at any moment, resumed to the same answer; the same command twice gives the same figures."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app

FLAGS = [
    *("audit", "--data", "digits", "--quiet"),
    *("--members", "150", "--nonmembers", "150", "--population", "100", "--shadow-models", "12", "--seed", "3"),
    *("--attacks", "gap,loss,lira-online-fixed,rmia-online,shokri", "--set", "training.epochs=40"),
    *("--set", "plan.stack=2", "--set", "model.hidden=[64]"),
]
PROCESS = [sys.executable, "-m", "memberwise.cli.main", *FLAGS]
TIMES = ("created", "seconds", "models_per_second", "resumed")


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in (*TIMES, "out")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def figures(folder: Path) -> Any:
    return without_times(json.loads((folder / "result.json").read_text()))


def run(folder: Path, *more: str) -> None:
    done = CliRunner().invoke(app, [*FLAGS, "--out", str(folder), *more])
    assert done.exit_code == 0, done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([*PROCESS, "--out", str(folder)], check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.slow
def test_the_same_command_twice_gives_the_same_files(whole: Path, tmp_path: Path) -> None:
    run(tmp_path / "again")
    assert figures(whole) == figures(tmp_path / "again")
    assert (whole / "scores.csv").read_bytes() == (tmp_path / "again" / "scores.csv").read_bytes()


@pytest.mark.slow
def test_killed_twice_and_resumed_it_ends_the_same(whole: Path, tmp_path: Path) -> None:
    folder, rng = tmp_path / "killed", random.Random(0)
    kept = 0
    for _ in range(2):
        process = subprocess.Popen([*PROCESS, "--out", str(folder)], stderr=subprocess.DEVNULL, start_new_session=True)
        begun = time.monotonic()
        # Killed once training has begun: at least one block later each time, at a random moment.
        while process.poll() is None and time.monotonic() - begun < 120:
            blocks = len(list((folder / "signals").glob("block-*.npz"))) if folder.exists() else 0
            if blocks > kept:
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 0.15))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept = len(list((folder / "signals").glob("block-*.npz")))
        assert not list(folder.glob("*.part"))
    run(folder, "--resume")
    assert figures(folder) == figures(whole)
    assert json.loads((folder / "result.json").read_text())["shadow"]["resumed"] >= 2


@pytest.mark.slow
def test_a_corrupted_block_is_noticed_and_trained_again(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(whole), str(folder)], check=True)
    block = folder / "signals" / "block-00002.npz"
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 1
    block.write_bytes(bytes(content))
    run(folder)
    result = json.loads((folder / "result.json").read_text())
    assert [w["code"] for w in result["warnings"]].count("block-trained-again") == 1
    assert result["shadow"]["resumed"] == 10
    assert figures(folder)["attacks"] == figures(whole)["attacks"]


@pytest.mark.slow
def test_more_shadow_models_later_keep_the_first(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    subprocess.run(["cp", "-r", str(whole), str(folder)], check=True)
    run(folder, "--shadow-models", "16")
    assert json.loads((folder / "result.json").read_text())["shadow"]["resumed"] == 12


@pytest.mark.slow
def test_another_study_in_the_folder_is_refused(whole: Path) -> None:
    done = CliRunner().invoke(app, [*FLAGS, "--out", str(whole), "--seed", "4"])
    assert done.exit_code == 2
    assert "another study's run" in done.stderr
    assert "run.seed" in done.stderr
