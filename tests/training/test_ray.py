"""The Ray engine on a real cluster of two nodes: whatever is lost on the way, the run is the local engine's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_runs import BLOCK, is_same, job, manifests, run, trainer
from held_trainer import FIRST, Bulky

from memberwise.errors import StudyError, TrainingError
from memberwise.signals.progress import Silent
from memberwise.signals.schedule import TimeBudget
from memberwise.study.engine import EngineConfig, RayConfig
from memberwise.training.engines import parcel
from memberwise.training.engines.base import Block, run_block
from memberwise.training.engines.ray import RayEngine
from memberwise.training.trainers import stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    # Ray's own, of its processes and files.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
RAY = EngineConfig(name="ray", tries=3)


class After(Silent):
    """Does something once, when so many models are done."""

    def __init__(self, models: int, act: Callable[[], None]) -> None:
        self.models, self.act, self.statuses = models, act, set[str]()

    def update(self, done: float) -> None:
        if self.models and done >= self.models:
            self.models = 0
            self.act()

    def say(self, status: str) -> None:
        self.statuses.add(status)


def begun(marks: Path) -> list[tuple[str, int]]:
    """Node and first seed of each block that waits."""
    names = [mark.name.split("-")[1:] for mark in marks.glob("at-*")]
    return [(node, int(seed)) for node, seed in names if int(seed) != FIRST]


def test_node_and_worker_lost_change_no_bit(ray_nodes: Any, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    ray_nodes.add_node(**ray_nodes.one)

    def holding() -> list[Any]:
        """The nodes beside the first that hold a block."""
        held = {node for node, _ in begun(marks)}
        return [node for node in ray_nodes.worker_nodes if node.node_id in held]

    def lose_a_node() -> None:
        until = time.monotonic() + 250
        while not holding() and time.monotonic() < until:
            time.sleep(0.05)
        ray_nodes.remove_node(holding()[0], allow_graceful=False)
        ray_nodes.add_node(**ray_nodes.one)
        (marks / "go").touch()

    watch = After(BLOCK, lose_a_node)
    # No block in a queue, which would take the killed worker's place and hold it.
    config = EngineConfig(name="ray", tries=3, ray=RayConfig(in_flight=3))
    there = run(tmp_path / "there", trainer(marks, killed=FIRST), config, progress=watch)
    for node in [*ray_nodes.worker_nodes][1:]:
        ray_nodes.remove_node(node)
    here = run(tmp_path / "here", trainer())
    assert is_same(here.arrays, there.arrays)
    assert [*map(sorted, manifests(tmp_path / "here"))] == [*map(sorted, manifests(tmp_path / "there"))]
    assert [note.code for note in there.notes] == ["tried-again"]
    assert "2 times" in there.notes[0].message
    assert "its worker was lost" in there.notes[0].message
    last = [status for status in watch.statuses if "2 tried again" in status]
    assert last
    assert all("workers on" in status and "under way" in status and " models/s by " in status for status in last)
    assert dict(there.processors) == dict(here.processors)


def test_a_run_goes_on_with_another_engine(ray_nodes: Any, tmp_path: Path) -> None:
    first = run(tmp_path / "run", trainer(), jobs=2)
    on_ray = run(tmp_path / "run", trainer(), RAY, jobs=6)
    back = run(tmp_path / "run", trainer())
    assert [(one.resumed, one.trained) for one in (first, on_ray, back)] == [(0, 2), (2, 4), (6, 2)]
    assert is_same(back.arrays, run(tmp_path / "here", trainer()).arrays)


def test_a_poisoned_block_ends_after_its_tries(ray_nodes: Any, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    first_is_done = After(BLOCK, (marks / "go").touch)  # till then the second block waits
    with pytest.raises(TrainingError) as failure:
        run(tmp_path / "run", trainer(marks, raises=103), RAY, progress=first_is_done)
    assert "ValueError: this model cannot be trained" in str(failure.value)
    assert "block 2 (shadow models 2 to 3), tried 3 times" in str(failure.value)
    again = run(tmp_path / "run", trainer())
    assert again.resumed >= 2, "what other blocks had done stays"


def test_ctrl_c_keeps_what_is_done(ray_nodes: Any, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    part = run(tmp_path / "run", trainer(), RAY, progress=After(BLOCK, interrupt))
    assert part.interrupted
    whole = run(tmp_path / "run", trainer(), RAY)
    assert whole.resumed >= part.count
    assert is_same(whole.arrays, run(tmp_path / "here", trainer()).arrays)


def test_a_budget_begins_no_block_that_would_end_late(ray_nodes: Any, tmp_path: Path) -> None:
    """The time is over as it begins: there is one block all the same."""
    jobs = TimeBudget(job, BLOCK, ends=time.perf_counter(), guess=1000.0)
    done = run(tmp_path, trainer(), RAY, jobs)
    assert (done.trained, done.under_way) == (BLOCK, 0)
    assert is_same(done.arrays, run(tmp_path / "here", trainer(), jobs=BLOCK).arrays)


def test_another_version_is_refused_with_both(ray_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = parcel.versions()
    monkeypatch.setattr(parcel, "versions", lambda: real | {"torch": "0.4.1"})
    with pytest.raises(TrainingError) as failure:
        run(tmp_path, trainer(), EngineConfig(name="ray", tries=1))
    message = str(failure.value)
    assert "a worker has another version of torch" in message
    assert "torch 0.4.1" in message
    assert f"torch {real['torch']}" in message


def test_a_block_too_large_for_any_node_is_refused(ray_nodes: Any, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no node of the cluster has room for one block"):
        run(tmp_path, trainer(), EngineConfig(name="ray", ray=RayConfig(cpus=64)))


def test_another_kind_of_worker_trains_by_its_plan(
    ray_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver has a processor that no worker has; a worker finds that one model at a time is best."""
    monkeypatch.setattr(stack, "processor_name", lambda device: "the driver's processor")
    there = run(tmp_path / "there", trainer(stack=2, best=1), RAY, jobs=4)
    monkeypatch.undo()
    here = run(tmp_path / "here", trainer(stack=1), jobs=4)
    assert dict(there.processors) == dict(here.processors), "a block says what made it"
    assert is_same(here.arrays, there.arrays)


def test_blocks_share_a_gpu_that_they_do_not_fill(ray_nodes: Any, tmp_path: Path) -> None:
    """A node that declares a GPU: blocks of 5 of its 16 GB go there two at a time, and to no other node."""
    marks = tmp_path / "marks"
    marks.mkdir()
    node = ray_nodes.add_node(**ray_nodes.one | {"num_cpus": 2, "num_gpus": 1})
    alike: Counter[int] = Counter()

    class Watch(Silent):
        """Lets the blocks go on once two of them hold the GPU."""

        def update(self, done: float) -> None:
            alike[len(begun(marks))] += 1
            if len(begun(marks)) >= 2:
                (marks / "go").touch()

    try:
        there = run(tmp_path / "there", trainer(marks, gpu_bytes=5 * 10**9), RAY, progress=Watch())
    finally:
        ray_nodes.remove_node(node)
    assert {where for where, _ in begun(marks)} == {node.node_id}
    assert max(alike) >= 2
    assert is_same(there.arrays, run(tmp_path / "here", trainer()).arrays)


def test_more_than_the_object_stores_hold_changes_no_bit(ray_nodes: Any) -> None:
    """Stores of 100 MB on each node, data of 120 MB, and results of 40 MB a block."""
    collection = Bulky(np.arange(120 * 10**6, dtype=np.uint8))
    blocks = [Block(number + 1, BLOCK * number, (job(2 * number), job(2 * number + 1))) for number in range(4)]
    engine = RayEngine(trainer(), collection, lambda block, share: None, RAY)
    done = [pair for block in blocks for pair in engine.submit(block)]
    done += list(engine.drain())
    assert not engine.notes, "nothing had to be tried again"
    assert engine.in_flight == 2, "results may fill half of the stores, once it is known how large they are"
    engine.close()
    assert "on 2 nodes" in engine.status, "as they were last seen"
    assert len(done) == len(blocks)
    for block, arrays in done:
        assert is_same(arrays, run_block(trainer(), collection, block))
