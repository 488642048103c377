"""The Slurm engine on a real Slurm of one node: tasks of arrays, one of them killed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from engine_runs import BLOCK, run, trainer

from memberwise.errors import TrainingError
from memberwise.signals.progress import Silent
from memberwise.store.blocks import BlockStore
from memberwise.study.engine import EngineConfig, SlurmConfig
from memberwise.training.engines import slurm as engine

pytest.importorskip("submitit", reason="needs submitit: pip install 'memberwise[slurm]'")

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("slurm"),  # one Slurm at a time
    pytest.mark.filterwarnings("ignore:.*pool is deprecated"),
]
COUNT = 6


def _queued(*options: str) -> list[str]:
    """Tasks that Slurm has in its queue."""
    command = ["squeue", "-h", "-o", "%i", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()


class Cancelling(Silent):
    """Cancels the task of the second block, which waits, once the first has come back."""

    def __init__(self, marks: Path) -> None:
        self.marks, self.cancelled = marks, False

    def update(self, done: float) -> None:
        if done < BLOCK or self.cancelled:
            return
        until = time.monotonic() + 250
        while not list(self.marks.glob("at-*-102")) and time.monotonic() < until:
            time.sleep(0.2)
        second = next(task for task in _queued("-t", "R") if task.endswith("_1"))
        subprocess.run(["scancel", second], check=True)
        while second in _queued() and time.monotonic() < until:
            time.sleep(0.2)  # else the task might end in its last seconds
        self.cancelled = True
        (self.marks / "go").touch()


def test_array_with_a_killed_task_changes_no_bit(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ASK", 2.0)
    marks = tmp_path / "marks"
    marks.mkdir()
    config = EngineConfig(name="slurm", slurm=SlurmConfig(folder=str(tmp_path / "slurm"), array=3, minutes=10))
    there = run(tmp_path / "there", trainer(marks), config, Cancelling(marks))
    run(tmp_path / "here", trainer(), EngineConfig())
    stores = [BlockStore(tmp_path / name).manifest for name in ("here", "there")]
    assert [entry["sha256"] for entry in stores[0].values()] == [entry["sha256"] for entry in stores[1].values()]
    assert [entry["keys"] for entry in stores[0].values()] == [entry["keys"] for entry in stores[1].values()]
    assert "CANCELLED" in there.notes[0].message
    assert not list((tmp_path / "slurm").glob("**/*.npy")), "the data do not stay"


def test_a_poisoned_task_ends_with_its_error(slurm: Path, tmp_path: Path) -> None:
    config = EngineConfig(name="slurm", tries=2, slurm=SlurmConfig(folder=str(tmp_path / "slurm"), array=3))
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "forest.pkl").write_bytes(b"of another run, or the user's own")
    with pytest.raises(TrainingError) as failure:
        run(tmp_path / "there", trainer(raises=102), config)
    assert "this model cannot be trained" in str(failure.value)
    assert "block 2 (shadow models 2 to 3), tried 2 times" in str(failure.value)
    assert [path.name for path in (tmp_path / "slurm").glob("**/*.pkl")] == ["forest.pkl"]
