"""Engines: whichever has the blocks trained, the run is the same, bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import cloudpickle
import pytest
from engine_runs import BLOCK, QUESTIONS, X, Y, is_same, job, trainer
from engine_runs import run as run_by
from thread_engine import BackwardEngine, ThreadEngine

import memberwise as mw
from memberwise.errors import StudyError, TrainingError
from memberwise.models.build import model_of
from memberwise.signals.collection import SignalCollection
from memberwise.signals.gather import gather
from memberwise.signals.progress import Silent
from memberwise.signals.schedule import ShadowRun, TimeBudget
from memberwise.store.blocks import Arrays, BlockStore  # type: ignore[attr-defined]
from memberwise.study.engine import EngineConfig, RayConfig
from memberwise.study.schema import ModelConfig
from memberwise.training.engines.base import Block, Done, run_block
from memberwise.training.engines.local import LocalEngine
from memberwise.training.engines.ray_cluster import connect
from memberwise.training.engines.registry import ENGINES
from memberwise.training.plan import Plan
from memberwise.training.trainers.base import Trainer
from memberwise.training.trainers.processes import ProcessTrainer
from memberwise.training.trainers.stack import StackTrainer

COUNT = 10


def stacks() -> StackTrainer:
    return trainer()


def trees() -> ProcessTrainer:
    from sklearn.tree import DecisionTreeClassifier

    model = model_of(DecisionTreeClassifier(max_depth=3), ModelConfig(), (6,), 3, "tree")
    return ProcessTrainer(model, X, Y, 3, Plan(BLOCK, "float32", 1, stacked=False))


def run(folder: Path, engine: str = "local", made: Trainer | None = None) -> ShadowRun:
    return run_by(folder, made or stacks(), EngineConfig(name=engine), COUNT)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(ENGINES.built_in, "threads", ThreadEngine)
    monkeypatch.setitem(ENGINES.built_in, "backward", BackwardEngine)
    return ENGINES  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("make", [stacks, trees])
@pytest.mark.parametrize("engine", ["threads", "backward"])
def test_any_order_gives_the_same_bits(
    make: Callable[[], Trainer], engine: str, engines: dict[str, Any], tmp_path: Path
) -> None:
    here, there = run(tmp_path / "here", made=make()), run(tmp_path / "there", engine, make())
    assert is_same(here.arrays, there.arrays)
    assert (there.trained, there.under_way, there.interrupted) == (COUNT, 0, False)
    stores = [BlockStore(tmp_path / name).manifest for name in ("here", "there")]
    assert [entry["keys"] for entry in stores[0].values()] == [entry["keys"] for entry in stores[1].values()]
    again = run(tmp_path / "there", made=make())
    assert (again.trained, again.resumed) == (0, COUNT)
    assert is_same(here.arrays, again.arrays)


def test_blocks_come_back_out_of_order(
    engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[BackwardEngine] = []

    def maker(*parts: Any) -> BackwardEngine:
        made.append(BackwardEngine(*parts))
        return made[0]

    monkeypatch.setitem(ENGINES.built_in, "watched", maker)
    run(tmp_path, "watched")
    assert made[0].order == [3, 2, 1, 5, 4]


class Failing(ThreadEngine):
    """Block 2 fails once 1 and 3 are done."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.done = {1: Event(), 3: Event()}

    def work(self, block: Block) -> Arrays:
        if block.number == 2:
            for done in self.done.values():
                done.wait(60)
            time.sleep(0.2)
            raise TrainingError("no luck")
        arrays = super().work(block)
        self.done.get(block.number, Event()).set()
        return arrays


@pytest.mark.slow
def test_a_block_that_fails_leaves_the_others_on_disk(
    engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ENGINES.built_in, "failing", Failing)
    with pytest.raises(TrainingError, match="no luck"):
        run(tmp_path / "run", "failing")
    assert {"block-00001", "block-00003"} <= {*BlockStore(tmp_path / "run").manifest}
    again = run(tmp_path / "run", "threads")
    assert again.resumed >= 4
    assert is_same(again.arrays, run(tmp_path / "whole").arrays)


class Interrupted(ThreadEngine):
    """Ctrl-C while block 2 is under way and block 3 is done."""

    held = Event()

    def work(self, block: Block) -> Arrays:
        if block.number == 2:
            self.held.wait(30)
        return super().work(block)

    def submit(self, block: Block) -> Iterator[Done]:
        yield from super().submit(block)
        if block.number == 3:
            while sum(not future.done() for future in self.under_way) > 1:
                time.sleep(0.01)
            raise KeyboardInterrupt


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(engines: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(ENGINES.built_in, "interrupted", Interrupted)
    part = run(tmp_path / "run", "interrupted")
    Interrupted.held.set()
    assert part.interrupted
    assert (part.count, part.trained) == (2, 2), "models up to the first that is missing"
    assert len(part.arrays["train_accuracy"]) == 2
    assert {*BlockStore(tmp_path / "run").manifest} == {"block-00001", "block-00003"}
    whole = run(tmp_path / "run", "threads")
    assert (whole.resumed, whole.trained) == (4, 6)
    assert is_same(whole.arrays, run(tmp_path / "whole").arrays)


@pytest.mark.slow
def test_a_budget_counts_the_models_under_way(engines: dict[str, Any], tmp_path: Path) -> None:
    jobs = TimeBudget(job, 16, ends=time.perf_counter() + 101, guess=10.0)
    assert jobs.next_size(2, ShadowRun(trained=2, seconds=20.0), 0) == 8, "a last block, not quite full"
    assert jobs.next_size(8, ShadowRun(trained=2, seconds=20.0, under_way=6), 0) == 2
    assert jobs.next_size(12, ShadowRun(trained=2, seconds=20.0, under_way=10), 0) == 0
    begun = time.perf_counter()
    budget = TimeBudget(lambda k: job(k % 30), BLOCK, ends=begun + 1.0, guess=0.3)
    done = gather(stacks(), budget, QUESTIONS, BlockStore(tmp_path), {}, Silent(), EngineConfig(name="threads"))
    assert done.count >= 2
    assert done.count % 2 == 0
    assert done.seconds <= time.perf_counter() - begun
    assert len(done.arrays["train_accuracy"]) == done.count


@pytest.mark.parametrize("make", [stacks, trees])
def test_a_worker_is_sent_trainer_and_questions_once(make: Callable[[], Trainer]) -> None:
    here, collection = make(), SignalCollection(QUESTIONS)
    sent_trainer, sent_collection = cloudpickle.loads(cloudpickle.dumps((here, collection)))
    for number in (1, 2):
        block = Block(number, 2 * number, (job(2 * number), job(2 * number + 1)), vectors=True)
        sent_block = cloudpickle.loads(cloudpickle.dumps(block))
        there = run_block(sent_trainer, sent_collection, sent_block)
        assert is_same(run_block(here, collection, block), there)


@pytest.mark.slow
def test_an_audit_under_threads_has_the_same_scores(engines: dict[str, Any]) -> None:
    common: dict[str, Any] = {
        "data": "digits",
        "members": 60,
        "nonmembers": 60,
        "shadow_models": 6,
        "attacks": ["default"],
    }
    plan = {"training.epochs": 2, "model.hidden": [8], "plan.stack": 2, "plan.threads": 1}
    results = [mw.audit(**common, settings=plan | {"shadow.engine": name}) for name in ("local", "threads")]
    assert results[0].scores.equals(results[1].scores)
    assert results[1].to_dict()["shadow"]["engine"] == "threads"


def test_an_unknown_engine_is_refused_before_training() -> None:
    with pytest.raises(StudyError, match=r"there is no engine locl(.|\n)*one of local(.|\n)*did you mean local\?"):
        mw.audit(data="digits", members=60, nonmembers=60, shadow_models=2, settings={"shadow.engine": "locl"})


@pytest.mark.slow
def test_the_engine_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "adding-an-engine.md").read_text()
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    monkeypatch.setitem(ENGINES.built_in, "page", names["ThreadEngine"])
    assert is_same(run(tmp_path / "there", "page").arrays, run(tmp_path / "here").arrays)


class Forgetful(LocalEngine):
    """It takes blocks and gives none back."""

    def submit(self, block: Block) -> Iterator[Done]:
        return iter(())

    def drain(self) -> Iterator[Done]:
        return iter(())


def test_engine_that_gives_nothing_back_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES.built_in, "forgetful", Forgetful)
    with pytest.raises(TrainingError, match="the engine gave nothing back"):
        run(tmp_path, "forgetful")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_rays_client_is_begun_twice_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves it on the head may die as it begins; the error ends with the reason."""
    ray = pytest.importorskip("ray")
    tries: list[str] = []

    def fails(address: str, **_: object) -> None:
        tries.append(address)
        if len(tries) < 4:
            raise ConnectionAbortedError("Initialization failure from server:\n  a traceback\nno room for a process")

    monkeypatch.setattr(ray, "init", fails)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # a cluster of other tests may be connected
    config = RayConfig(address="ray://nowhere:10001")
    with pytest.raises(TrainingError, match="failure from server: no room for a process"):
        connect(config)
    assert len(tries) == 2
    assert connect(config).ours, "the second time"
    assert len(tries) == 4
