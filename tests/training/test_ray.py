"""The Ray engine on a real cluster of two nodes: whatever is lost on the way, the run is the local engine's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from held_trainer import FIRST, HeldTrainer
from torch import nn

import memberwise as mw
from memberwise.errors import StudyError, TrainingError
from memberwise.models.network import Network
from memberwise.signals.gather import gather
from memberwise.signals.progress import Silent
from memberwise.signals.questions import Questions
from memberwise.signals.schedule import FixedCount, ShadowRun
from memberwise.store.blocks import BlockStore
from memberwise.study.engine import EngineConfig, RayConfig
from memberwise.study.schema import TrainingConfig
from memberwise.training.engines import parcel
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.types.arrays import Arrays

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'memberwise[ray]'")

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ray"),  # one cluster at a time
    # Ray's own, of its processes and files.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STORE = 100 * 2**20
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)).astype(np.float32), RNG.integers(0, 3, 60)
NOBODY = np.arange(0)
QUESTIONS = Questions(X, Y, 3, np.arange(40), NOBODY, np.arange(40, 60), NOBODY)
RECIPE = Recipe.of(TrainingConfig(epochs=2, batch_size=8))
COUNT, BLOCK = 8, 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, to which this process is connected."""
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE}
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_worker_niceness", "0")
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made: Any = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        made.add_node(**node)
        ray.init(address=made.address, log_to_driver=False, logging_level="error")
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        patch.undo()


def job(k: int) -> Job:
    return Job(np.arange(k, k + 30), Step(), RECIPE, 100 + k)


def trainer(folder: Path | None = None, **settings: int) -> HeldTrainer:
    network = Network(lambda: nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.2), nn.Linear(5, 3)), CPU)
    made = HeldTrainer(network, DataTensors.of(X, Y, 3, CPU), Plan(BLOCK, "float32", 1))
    made.__dict__.update(settings | ({} if folder is None else {"folder": str(folder)}))
    return made


def run(
    store: Path, made: HeldTrainer, config: EngineConfig, count: int = COUNT, progress: Silent | None = None
) -> ShadowRun:
    jobs = FixedCount(job, count, BLOCK)
    return gather(made, jobs, QUESTIONS, BlockStore(store), {}, progress or Silent(), config)


LOCAL, RAY = EngineConfig(), EngineConfig(name="ray", tries=3)


def is_same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == other[name].tobytes() for name in one
    )


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


def test_node_and_worker_lost_change_no_bit(cluster: Any, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    cluster.add_node(num_cpus=1, object_store_memory=STORE)

    def holding() -> list[Any]:
        """The nodes beside the first that hold a block."""
        begun = [mark.name.split("-")[1:] for mark in marks.glob("at-*")]
        held = {node for node, seed in begun if int(seed) != FIRST}
        return [node for node in cluster.worker_nodes if node.node_id in held]

    def lose_a_node() -> None:
        until = time.monotonic() + 250
        while not holding() and time.monotonic() < until:
            time.sleep(0.05)
        cluster.remove_node(holding()[0], allow_graceful=False)
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
        (marks / "go").touch()

    watch = After(BLOCK, lose_a_node)
    # No block in a queue, which would take the killed worker's place and hold it.
    config = EngineConfig(name="ray", tries=3, ray=RayConfig(in_flight=3))
    there = run(tmp_path / "there", trainer(marks, killed=FIRST), config, progress=watch)
    here = run(tmp_path / "here", trainer(), LOCAL)
    assert is_same(here.arrays, there.arrays)
    stores = [BlockStore(tmp_path / name).manifest for name in ("here", "there")]
    assert [entry["sha256"] for entry in stores[0].values()] == [entry["sha256"] for entry in stores[1].values()]
    assert [entry["keys"] for entry in stores[0].values()] == [entry["keys"] for entry in stores[1].values()]
    assert [note.code for note in there.notes] == ["tried-again"]
    assert "2 times" in there.notes[0].message
    assert "its worker was lost" in there.notes[0].message
    assert any("2 tried again" in status for status in watch.statuses)
    assert dict(there.processors) == dict(here.processors)


def test_a_run_goes_on_with_another_engine(cluster: Any, tmp_path: Path) -> None:
    begun = run(tmp_path / "run", trainer(), LOCAL, count=2)
    on_ray = run(tmp_path / "run", trainer(), RAY, count=6)
    back = run(tmp_path / "run", trainer(), LOCAL)
    assert [(one.resumed, one.trained) for one in (begun, on_ray, back)] == [(0, 2), (2, 4), (6, 2)]
    assert is_same(back.arrays, run(tmp_path / "here", trainer(), LOCAL).arrays)


def test_a_poisoned_block_ends_after_its_tries(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as failure:
        run(tmp_path / "run", trainer(raises=103), RAY)
    assert "ValueError: this model cannot be trained" in str(failure.value)
    assert "block 2 (shadow models 2 to 3), tried 3 times" in str(failure.value)
    again = run(tmp_path / "run", trainer(), LOCAL)
    assert again.resumed >= 2, "what other blocks had done stays"


def test_ctrl_c_keeps_what_is_done(cluster: Any, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    part = run(tmp_path / "run", trainer(), RAY, progress=After(BLOCK, interrupt))
    assert part.interrupted
    whole = run(tmp_path / "run", trainer(), RAY)
    assert whole.resumed >= part.count
    assert is_same(whole.arrays, run(tmp_path / "here", trainer(), LOCAL).arrays)


def test_another_version_is_refused_with_both(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = parcel.versions()
    monkeypatch.setattr(parcel, "versions", lambda: real | {"torch": "0.4.1"})
    with pytest.raises(TrainingError) as failure:
        run(tmp_path, trainer(), EngineConfig(name="ray", tries=1))
    message = str(failure.value)
    assert "a worker has another version of torch" in message
    assert "torch 0.4.1" in message
    assert f"torch {real['torch']}" in message


def test_a_block_too_large_for_any_node_is_refused(cluster: Any, tmp_path: Path) -> None:
    config = EngineConfig(name="ray", ray=RayConfig(cpus=64))
    with pytest.raises(StudyError, match="no node of the cluster has room for one block"):
        run(tmp_path, trainer(), config)


MODEL = """
import torch
from layers_beside import WIDTH

def make():
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 10)]
    return torch.nn.Sequential(*layers)
"""


def test_a_users_own_files_travel(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "layers_beside.py").write_text("WIDTH = 7\n")
    study: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 4}
    study |= {"model": f"{tmp_path / 'model.py'}:make", "attacks": "lira-online-fixed"}
    settings = {"training.epochs": 2, "plan.stack": 2, "plan.threads": 1}
    here = mw.audit(**study, settings=settings)
    there = mw.audit(**study, settings=settings | {"engine.name": "ray"})
    assert here.scores.equals(there.scores)
    assert there.to_dict()["shadow"]["engine"] == "ray"
    assert sum(there.to_dict()["shadow"]["processors"].values()) == 4
