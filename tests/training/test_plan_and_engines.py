"""What can be stacked is, what cannot is trained one by one and told, the rest runs in processes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from memberwise.errors import TrainingError
from memberwise.models.build import Model, build_model, model_of
from memberwise.models.network import Network
from memberwise.models.threads import cores
from memberwise.study.schema import ModelConfig, PlanConfig, TrainingConfig
from memberwise.training import pace, planning
from memberwise.training.job import Job
from memberwise.training.pace import PlanPace, measured, soonest
from memberwise.training.plan import Plan
from memberwise.training.planning import candidates, make_plan, operations, with_compiled
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.processes import ProcessTrainer
from memberwise.training.trainers.stack import StackTrainer

CPU = torch.device("cpu")
RECIPE = Recipe.of(TrainingConfig(epochs=2, batch_size=8))
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 6)).astype(np.float32), RNG.integers(0, 3, 60)


class Branching(nn.Module):
    """A module which looks at its values, so that no vmap can take it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x)
        return out if out.sum().item() > 0 else out * 1.0  # type: ignore[no-any-return]


def jobs(count: int) -> list[Job]:
    return [Job(np.arange(k, k + 30), Step(), RECIPE, k) for k in range(count)]


def test_unstackable_module_trains_one_by_one_and_says_so() -> None:
    network, data = Network(Branching, CPU), DataTensors.of(X, Y, 3, CPU)
    with pytest.warns(UserWarning, match=r"one by one.*item"):
        plan = make_plan(PlanConfig(), network, data, jobs(1)[0])
    assert (plan.stack, plan.stacked) == (1, False)
    models = StackTrainer(network, data, plan).train(jobs(1))
    assert models.predict(X[:5]).shape == (1, 5, 3)


def plan_of(module: nn.Module, shape: tuple[int, ...], work: float = 0.0, **wanted: object) -> Plan:
    data = DataTensors.of(RNG.random((40, *shape)).astype(np.float32), np.arange(40) % 3, 3, CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = PlanConfig.model_validate(wanted)
        return make_plan(study, Network(lambda: module, CPU), data, jobs(1)[0], work)


@pytest.mark.slow
def test_small_work_takes_the_safest_plan_unmeasured() -> None:
    assert plan_of(nn.Linear(6, 3), (6,)) == Plan(16, "float32", cores())
    large = nn.Sequential(nn.Linear(6, 5_000_000), nn.Linear(5_000_000, 3))
    assert plan_of(large, (6,)).stack == 1, "a stack must fit into memory"
    conv = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    assert plan_of(conv, (1, 4, 4)).stack == 1


def test_operations_are_those_of_three_forward_passes() -> None:
    data = DataTensors.of(RNG.random((4, 1, 6, 5)).astype(np.float32), np.arange(4) % 3, 3, CPU)
    conv = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Flatten(), nn.Linear(2 * 4 * 3, 3, bias=False))
    # a product and a sum for each weight at each of 4 x 3 places, then for each weight once; three times
    assert operations(Network(lambda: conv, CPU), data) == 3 * 2 * (2 * 9 * 12 + 24 * 3)
    table = nn.Sequential(nn.Flatten(), nn.Linear(30, 3, bias=False))
    assert operations(Network(lambda: table, CPU), data) == 6 * 90


@pytest.mark.parametrize("name", ["cnn", "resnet9", "mlp"])
def test_operations_are_those_that_torch_counts(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = build_model(ModelConfig(name=name), (3, 32, 32), 4)
    network, data = Network(model.make, CPU), DataTensors.of(np.zeros((2, 3, 32, 32), np.float32), Y[:2], 4, CPU)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.module.eval()(data.x[:1])
    assert operations(network, data) == max(3 * counter.get_total_flops(), 6 * network.parameters)


def test_what_the_study_fixes_is_kept() -> None:
    assert plan_of(nn.Linear(6, 3), (6,), stack=5, threads=1) == Plan(5, "float32", 1)
    assert plan_of(nn.Linear(6, 3), (6,), work=1e18, stack=5, precision="bfloat16", threads=1).precision == "bfloat16"


@pytest.mark.slow
def test_measured_plan_is_a_candidate_and_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(pace, "SHORT", 0.005)
    monkeypatch.setattr(planning, "multiplies_bfloat16", lambda device: True)
    plan = plan_of(nn.Linear(6, 3), (6,), work=1e18)
    options = candidates(Network(lambda: nn.Linear(6, 3), CPU), plan.threads, stackable=True)
    assert plan in options
    assert len(options) <= 3
    other = next(option for option in options if option != plan)
    [file] = (tmp_path / "memberwise" / "plans").iterdir()
    rows = [[asdict(option), 0.0, 1.0 if option == other else 2.0] for option in options]
    file.write_text(json.dumps(rows))
    assert plan_of(nn.Linear(6, 3), (6,), work=1e18) == other, "not measured again"
    file.write_text("{}")
    assert plan_of(nn.Linear(6, 3), (6,), work=1e18) in options, "a broken file is measured again"


def test_what_is_compiled_is_tried_beside_the_safest_plan() -> None:
    job = jobs(1)[0]
    one = Plan(1, "float32", 1, stacked=False)
    fast = Plan(1, "bfloat16", 1, "channels_last", stacked=False)
    pooling = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3))
    assert with_compiled([one, fast], Network(lambda: pooling, CPU), job, 1e13) == [
        one,
        fast,
        replace(fast, compile=True),
    ]
    dense, norm = (Network(lambda part=part: nn.Sequential(part), CPU) for part in (nn.Linear(6, 3), nn.LayerNorm(6)))  # type: ignore[misc]
    stacks = [Plan(16, "float32", 1), Plan(16, "bfloat16", 1)]
    compiled = [Plan(size, "bfloat16", 1, compile=True) for size in (4, 8)]
    assert with_compiled(stacks, dense, job, 1e13) == [stacks[0], *compiled]
    assert with_compiled([Plan(3, "float32", 1)], dense, job, 1e13)[1:] == [Plan(3, "float32", 1, compile=True)]
    assert with_compiled(stacks, norm, job, 1e13) == stacks


def test_a_candidate_that_does_not_compile_is_tried_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def timer(plan: Plan, *_: object) -> Callable[[], float]:
        if plan.compile:
            raise TrainingError("the training step could not be compiled")
        return lambda: 1.0 if plan.precision == "float32" else 0.5

    monkeypatch.setattr(pace, "step_timer", timer)
    options = [Plan(16, "float32", 1), Plan(4, "bfloat16", 1, compile=True)]
    network, data = Network(lambda: nn.Linear(6, 3), CPU), DataTensors.of(X, Y, 3, CPU)
    assert soonest(measured(options, network, data, jobs(1)[0]), 1e6) == Plan(4, "bfloat16", 1)


def test_a_candidate_counts_with_its_fastest_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else on the machine slows each candidate in another turn; the middle one is the fastest."""
    found = {1: [1.0, 9.0, 9.0], 2: [9.0, 9.0, 0.5], 4: [9.0, 0.7, 9.0]}
    turns: dict[int, Iterator[float]] = {stack: iter(times * 3) for stack, times in found.items()}
    monkeypatch.setattr(pace, "step_timer", lambda plan, *_: lambda: next(turns[plan.stack]))
    network, data = Network(lambda: nn.Linear(6, 3), CPU), DataTensors.of(X, Y, 3, CPU)
    assert soonest(measured([Plan(stack) for stack in found], network, data, jobs(1)[0]), 1e6) == Plan(2)


def test_compiling_must_be_earned_back_by_the_steps_there_are() -> None:
    """Seven seconds of compiling, half as long a step: worth it from 14 seconds of steps, and clearly from more."""
    plain, compiled = Plan(16, "float32", 1), Plan(4, "bfloat16", 1, compile=True)
    paces = [PlanPace(plain, 0.0, 1e-3), PlanPace(compiled, 7.0, 5e-4)]
    assert [soonest(paces, steps) for steps in (1e3, 13e3, 15e3, 40e3)] == [plain, plain, plain, compiled]


@pytest.mark.slow
def test_estimators_in_processes_equal_their_fits_here() -> None:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_estimators=5)
    engine = ProcessTrainer(
        model_of(forest, ModelConfig(), (6,), 3, "forest"), X, Y, 3, Plan(4, "float32", 2, stacked=False)
    )
    got = engine.run(jobs(3), lambda models, done: {"p": models.predict(X[50:])})["p"]
    for k in range(3):
        direct = RandomForestClassifier(n_estimators=5, random_state=k).fit(X[k : k + 30], Y[k : k + 30])
        np.testing.assert_allclose(got[k], direct.predict_proba(X[50:]))


def test_a_class_no_estimator_saw_still_has_its_column() -> None:
    from sklearn.linear_model import LogisticRegression

    y = np.where(np.arange(60) < 30, Y % 2, Y)
    model = model_of(LogisticRegression(), ModelConfig(), (6,), 3, "regression")
    engine = ProcessTrainer(model, X, y, 3, Plan(1, "float32", 1, stacked=False))
    answers = engine.train([Job(np.arange(30), Step(), RECIPE, 0)]).predict(X[:4])
    assert answers.shape == (1, 4, 3)
    assert (answers[..., 2] == 0).all()


def train_means(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """A user's training function: softmax of minus the distance to each class's mean."""
    means = np.stack([x[y == c].mean(0) for c in range(3)])

    def predict(records: np.ndarray) -> np.ndarray:
        distance = ((records[:, None] - means[None]) ** 2).sum(-1)
        weight = np.exp(-distance)
        return weight / weight.sum(1, keepdims=True)  # type: ignore[no-any-return]

    return predict


def test_a_users_training_function_runs_as_it_is() -> None:
    model = model_of(train_means, ModelConfig(), (6,), 3, "train_means")
    assert model.kind == "function"
    models = ProcessTrainer(model, X, Y, 3, Plan(1, "float32", 1, stacked=False)).train(jobs(1))
    assert models.kind == "probabilities"
    np.testing.assert_allclose(models.predict(X[:5])[0], train_means(X[:30], Y[:30], 0)(X[:5]))


def test_a_failing_fit_says_which_model() -> None:
    def explode() -> object:
        raise ValueError("no luck")

    engine = ProcessTrainer(Model("mine", "estimator", explode, "x"), X, Y, 3, Plan(1, "float32", 1, stacked=False))
    with pytest.raises(TrainingError, match=r"mine fails.*\n.*no luck"):
        engine.train(jobs(1))
