"""The benchmarks of networks run from end to end at tiny sizes, without a GPU too. No figure is tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.slow


def run(script: str, out: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, HERE / script, *options, "--out", out],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(out.parent / "cache")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_gpus_benchmark_is_rehearsed_part_by_part(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run("gpu.py", folder, "--device", "cpu", "--tiny")
    [stored] = folder.glob("*-cpu.json")
    sections: dict[str, Any] = json.loads(stored.read_text())["sections"]
    assert [*sections] == ["tests", "mlp", "resnet9", "shadow", "dp-sgd", "attacks"]
    assert not [name for name, section in sections.items() if "failed" in section["title"]]
    assert all(row[""] == "passed" for row in sections["tests"]["rows"])
    assert len(sections["tests"]["rows"]) > 10
    for name in ("mlp", "resnet9"):
        assert [len(one["seconds a model"]) for one in sections[name]["raw"].values()] == [1] * 4
        assert len(sections[name]["notes"]) == 1, "no contestant failed"
    assert sections["shadow"]["raw"]["count"] == 4
    assert sections["attacks"]["rows"]
    dp = sections["dp-sgd"]
    assert {row["network"] for row in dp["rows"]} == {"mlp", "cnn"}
    assert len({row["epsilon"] for row in dp["rows"] if row["network"] == "mlp"}) == 1
    assert "No figures: no GPU was at hand" in (folder / "README.md").read_text()


def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = subprocess.run([sys.executable, HERE / "gpu.py"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--device cpu --tiny rehearses" in done.stderr


def test_what_has_no_time_left_is_stopped_and_the_rest_stored(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    run("gpu.py", folder, "--device", "cpu", "--tiny", "--seconds", "0.01", "--only", "attacks")
    [stored] = folder.glob("*-cpu.json")
    section = json.loads(stored.read_text())["sections"]["attacks"]
    assert "Stopped at its share" in section["notes"][0]


def test_residual_networks_are_timed_beside_their_convolutions(tmp_path: Path) -> None:
    file = tmp_path / "residual.json"
    run("residual.py", file, "--tiny", "--no-compile", "--only", "resnet20-group")
    seconds = json.loads(file.read_text())["resnet20-group"]["raw"]["seconds"]
    assert len(seconds) == 6
    assert all(len(values) == 1 and values[0] > 0 for values in seconds.values())
