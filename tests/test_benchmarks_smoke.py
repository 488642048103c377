"""The benchmarks still run, and what they say belongs together. Figures themselves are not tested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"


@pytest.mark.slow
def test_a_quick_run_is_stored_and_trains_as_a_plain_loop_does(tmp_path: Path) -> None:
    only = [word for name in ("limits", "batch256", "accuracy") for word in ("--only", name)]
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            RUN,
            "--quick",
            "--data",
            "digits",
            "--device",
            "cpu",
            *only,
            "--out",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    (stored,) = tmp_path.glob("*-cpu.json")
    run = json.loads(stored.read_text())
    assert {"date", "machine", "versions", "others_share"} < set(run)
    assert run["machine"]["cores"] >= 1
    sections = run["sections"]
    assert list(sections) == ["limits", "batch256", "accuracy"]
    turns = sections["batch256"]["raw"]
    assert all(len(turns[name]["seconds a model"]) == 1 for name in ("memberwise", "one-by-one loop"))
    # float32 on so little data: ours and the loop see the same batches from the same start, so they end alike
    found = sections["accuracy"]["raw"]["test_accuracy"]
    assert found["ours"] == pytest.approx(found["one by one"], abs=1.0)  # points; one test record is 0.8
    assert len(set(found["ours"])) > 1  # not by answering always the same
    readme = (tmp_path / "README.md").read_text()
    assert all(section["title"] in readme for section in sections.values())
    assert "no GPU was at hand" in readme
