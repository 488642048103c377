"""The Slurm engine on a real Slurm of one node: tasks of arrays, one of them killed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_runs import BLOCK, is_same, manifests, run, trainer

import memberwise as mw
from memberwise.errors import TrainingError
from memberwise.signals.progress import Silent
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


class Losing(Silent):
    """Once the first block has come back, cancels the task of the second and lets the third's time be over."""

    def __init__(self, marks: Path) -> None:
        self.marks, self.done, self.statuses = marks, False, set[str]()

    def update(self, done: float) -> None:
        if done < BLOCK or self.done:
            return
        self.until = time.monotonic() + 250
        second, third = self._task(1, 102), self._task(2, 104)
        subprocess.run(["scancel", second], check=True)
        subprocess.run(["scontrol", "update", f"JobId={third}", "EndTime=now"], check=True)
        self._wait(lambda: not {second, third} & {*_queued()})  # else one might end in its last seconds
        self.done = True
        (self.marks / "go").touch()

    def _task(self, number: int, seed: int) -> str:
        """The task of this number, which trains models from this seed on and waits."""
        self._wait(lambda: bool(list(self.marks.glob(f"at-*-{seed}"))))
        return next(task for task in _queued("-t", "R") if task.endswith(f"_{number}"))

    def _wait(self, until: Callable[[], bool]) -> None:
        while not until() and time.monotonic() < self.until:
            time.sleep(0.2)

    def say(self, status: str) -> None:
        self.statuses.add(status)


def test_tasks_killed_and_out_of_time_change_no_bit(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "ASK", 1.0)
    monkeypatch.setattr(engine, "LATE", 0.0)
    marks = tmp_path / "marks"
    marks.mkdir()
    config = EngineConfig(name="slurm", slurm=SlurmConfig(folder=str(tmp_path / "slurm"), array=3, minutes=10))
    watch = Losing(marks)
    there = run(tmp_path / "there", trainer(marks), config, COUNT, watch)
    here = run(tmp_path / "here", trainer(), jobs=COUNT)
    assert is_same(here.arrays, there.arrays)
    assert sorted(manifests(tmp_path / "here")[0]) == sorted(manifests(tmp_path / "there")[0])
    assert "2 times a block was trained again" in there.notes[0].message
    assert "CANCELLED" in there.notes[0].message
    assert "TIMEOUT" in there.notes[0].message
    assert any("2 tried again" in status and " models/s by " in status for status in watch.statuses)
    assert not list((tmp_path / "slurm").glob("**/*.npy")), "the data do not stay"


def test_a_poisoned_task_ends_with_its_error(slurm: Path, tmp_path: Path) -> None:
    config = EngineConfig(name="slurm", tries=2, slurm=SlurmConfig(folder=str(tmp_path / "slurm"), array=3))
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "forest.pkl").write_bytes(b"of another run, or the user's own")
    with pytest.raises(TrainingError) as failure:
        run(tmp_path / "there", trainer(raises=102), config, COUNT)
    assert "this model cannot be trained" in str(failure.value)
    assert "block 2 (shadow models 2 to 3), tried 2 times" in str(failure.value)
    assert [path.name for path in (tmp_path / "slurm").glob("**/*.pkl")] == ["forest.pkl"]


def test_an_audit_with_a_cascade_goes_to_slurm(slurm: Path, tmp_path: Path) -> None:
    settings: dict[str, object] = {"training.epochs": 3, "plan.stack": 2, "plan.threads": 1, "statistics.turns": "none"}
    small: dict[str, object] = {"data": "digits", "members": 60, "nonmembers": 60, "population": 100, "cascade": 8}
    scores = []
    for name in ("slurm", "local"):
        more = {"engine.slurm.folder": str(tmp_path / "tasks"), "engine.slurm.minutes": 10} if name == "slurm" else {}
        result = mw.audit(
            **small,  # type: ignore[arg-type]
            shadow_models=4,
            attacks=["learned"],
            engine=name,
            settings=settings | more,
            out=tmp_path / name,
        )
        assert result.to_dict()["shadow"]["engine"] == name
        assert result.to_dict()["shadow"]["cascade"]["rounds"] == 2
        scores.append(result.scores)
    assert scores[0].equals(scores[1])
