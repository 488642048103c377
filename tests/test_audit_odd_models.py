"""Models that do what a tidy one would not: frozen parts, buffers assigned anew, work in place, NaN, sys.exit."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import memberwise as mw
from memberwise.assess.notes import accuracy_notes
from memberwise.errors import RunFolderError, StudyError, TrainingError
from memberwise.models.build import model_of
from memberwise.models.network import Network
from memberwise.store.blocks import BlockStore
from memberwise.study.entrypoint import code_hash, load_entrypoint
from memberwise.study.schema import ModelConfig, PlanConfig, TrainingConfig
from memberwise.targets.models import TorchModels
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.planning import make_plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.tensors import DataTensors
from memberwise.training.trainers.stack import StackTrainer

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
X, Y = RNG.random((40, 6)).astype(np.float32), RNG.integers(0, 3, 40)
DATA = DataTensors.of(X, Y, 3, CPU)


def jobs(count: int = 2) -> list[Job]:
    recipe = Recipe.of(TrainingConfig(epochs=3, batch_size=10, learning_rate=0.1))
    return [Job(np.arange(k, k + 30), Step(), recipe, k) for k in range(count)]


def trained(make: Callable[[], nn.Module], stack: int) -> Any:
    plan = Plan(stack, "float32", 1, stacked=stack > 1)
    return StackTrainer(Network(make, CPU), DATA, plan).train(jobs(stack))


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    module[0].requires_grad_(False)
    return module


class Counting(nn.Module):
    """Its buffer is assigned anew at each training step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps = self.steps + 1  # type: ignore[has-type]
        return self.layer(x)  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """vmap can train an LSTM, but not ask it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.cell(x[:, None])[0][:, -1])  # type: ignore[no-any-return]


class Noisy(nn.Module):
    """Draws from torch's own generator in training."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x + torch.randn_like(x) if self.training else x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("stack", [1, 2])
def test_frozen_parameters_stay_as_they_were(stack: int) -> None:
    begun, made = Network(frozen, CPU).init(0)[1], trained(frozen, stack)
    assert set(made.params) == {"1.weight", "1.bias"}
    assert torch.equal(made.buffers["0.weight"][0], begun["0.weight"])


@pytest.mark.parametrize("stack", [1, 2])
def test_buffers_that_are_assigned_anew_are_kept(stack: int) -> None:
    assert trained(Counting, stack).buffers["steps"].tolist() == [9.0] * stack


def test_unstackable_to_ask_models_train_one_by_one() -> None:
    with pytest.warns(UserWarning, match=r"one by one.*lstm"):
        assert not make_plan(PlanConfig(), Network(Recurrent, CPU), DATA, jobs()[0]).stacked


def test_torchs_generator_is_seeded_in_one_by_one_training() -> None:
    answers = [trained(Noisy, 1).predict(X) for _ in range(2)]
    assert np.array_equal(*answers)


class Warming(nn.Module):
    """Counts its steps in Python, and learns less in the first ones."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.steps = nn.Linear(6, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return self.layer(x) * min(1.0, self.steps / 20)  # type: ignore[no-any-return]


def test_python_counts_of_a_module_begin_anew_with_a_stack() -> None:
    engine = StackTrainer(Network(Warming, CPU), DATA, Plan(1, "float32", 1, stacked=False))
    first, second = engine.train(jobs(1)), engine.train(jobs(1))
    assert isinstance(first, TorchModels)
    assert isinstance(second, TorchModels)
    assert torch.equal(second.params["layer.weight"], first.params["layer.weight"])


def test_a_stack_that_is_asked_for_is_made_of_convolutions_too() -> None:
    network = Network(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), CPU)
    images = DataTensors.of(RNG.random((40, 1, 4, 4)).astype(np.float32), Y, 3, CPU)
    plan = make_plan(PlanConfig(stack=4), network, images, jobs()[0])
    assert (plan.stack, plan.stacked) == (4, True)


def test_blocks_of_a_run_count_only_in_the_models_turn(tmp_path: Path) -> None:
    """After a budget blocks may have any size; those that begin elsewhere, or with another key, are not these."""
    store = BlockStore(tmp_path)
    for number, models in enumerate([range(2), range(2, 5), range(5, 7)]):
        store.save(f"block-{number}", [f"key {k}" for k in models], models, {"a": np.array(models)})
    asked = {
        (name, first): BlockStore(tmp_path).matching(name, first, lambda k: f"key {k if k != 4 else 'changed'}")
        for name in ("block-0", "block-1", "block-2", "block-3")
        for first in (0, 2, 5)
    }
    assert {place: count for place, count in asked.items() if count} == {
        ("block-0", 0): 2,
        ("block-1", 2): 2,  # the third has another key
        ("block-2", 5): 2,
    }
    arrays, problem = store.load_first("block-1", 2)
    assert (arrays or {})["a"].tolist() == [2, 3]
    assert problem is None


@pytest.mark.slow
def test_the_code_beside_a_factory_and_what_it_makes_count(tmp_path: Path) -> None:
    (tmp_path / "nets_beside.py").write_text("WIDTH = 4\n")
    (tmp_path / "factory.py").write_text(
        "import importlib, nets_beside\nfrom torch import nn\nimportlib.reload(nets_beside)\n"
        "def make():\n    return nn.Sequential(nn.Linear(6, nets_beside.WIDTH), nn.Linear(nets_beside.WIDTH, 3))\n"
    )

    def code() -> str:
        made = load_entrypoint(f"{tmp_path / 'factory.py'}:make", "model.name")
        return model_of(made, ModelConfig(), (6,), 3, "made").code

    first = code()
    assert code() == first
    (tmp_path / "nets_beside.py").write_text("WIDTH = 128\n")
    assert code() != first
    widths = [model_of(lambda w=w: nn.Linear(6, w), ModelConfig(), (6,), 3, "made").code for w in (3, 4)]
    assert widths[0] != widths[1], "the same code with another value in it"


class Own(LogisticRegression):  # type: ignore[misc]
    """An estimator class of the user's own."""


def test_the_code_of_an_estimators_class_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_of(Own(), ModelConfig(), (6,), 3, "own").code
    monkeypatch.setattr("inspect.getfile", lambda thing: json.__file__)
    assert model_of(Own(), ModelConfig(), (6,), 3, "own").code != before


def audit(tmp_path: Path, model: Any, name: str = "out", **more: Any) -> mw.Result:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mw.audit(
            data="digits",
            members=60,
            nonmembers=60,
            shadow_models=4,
            model=model,
            attacks=["loss", "lira-online-fixed"],
            settings={"plan.threads": 1, "training.epochs": 2},
            out=tmp_path / name,
            **more,
        )


@pytest.mark.slow
def test_random_states_inside_a_pipeline_are_seeded(tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(5))
    first, second = (audit(tmp_path, pipeline, name).scores for name in ("a", "b"))
    assert first.equals(second)


def scaling(in_place: bool) -> Callable[..., Any]:
    def train(x: Any, y: Any, seed: int) -> Any:
        flat = x.reshape(len(x), -1)
        middle = flat.mean(0)
        fitted = LogisticRegression(max_iter=20).fit(flat - middle, y)

        def predict(z: Any) -> Any:
            flat = z.reshape(len(z), -1)
            if in_place:
                flat -= middle
                return fitted.predict_log_proba(flat)
            return fitted.predict_log_proba(flat - middle)

        return predict

    return train


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_predict_function_that_works_in_place_changes_nothing(tmp_path: Path) -> None:
    found = []
    for name, in_place in (("a", False), ("b", True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = mw.audit(
                data="digits",
                members=60,
                nonmembers=60,
                shadow_models=4,
                model=scaling(in_place),
                attacks=["loss", "lira-online-fixed"],
                settings={"plan.threads": 1},
                out=tmp_path / name,
            )
        found.append(result.scores["lira-online-fixed"].to_numpy())
    assert np.allclose(found[0], found[1], atol=1e-4)


def without_numbers(x: Any, y: Any, seed: int) -> Any:
    return lambda z: np.full((len(z), 10), np.nan)


def leaving(x: Any, y: Any, seed: int) -> Any:
    raise SystemExit(0)


def test_answers_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the target answers NaN"):
        audit(tmp_path, without_numbers)


def test_a_model_that_ends_the_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="fails while training"):
        audit(tmp_path, leaving)
    (tmp_path / "ex.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(StudyError, match="fails while it is imported"):
        load_entrypoint(f"{tmp_path / 'ex.py'}:make", "model.name")


@pytest.mark.parametrize("content", ["[]", '{"blocks": []}', '{"blocks": null}', '{"blocks": {"block-00000": {}}}'])
def test_a_manifest_of_another_shape_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    if content == '{"blocks": []}':
        assert BlockStore(tmp_path).manifest == {}
        return
    with pytest.raises(RunFolderError, match="cannot be read"):
        BlockStore(tmp_path)


def test_a_few_shadow_models_that_failed_are_told() -> None:
    shadows = np.array([1.0] * 12 + [0.08, 0.09, 0.10, 0.11])
    notes = accuracy_notes((1.0, 1.0), shadows, shadows)
    assert [code for code, _ in notes] == ["shadow-apart"] * 2
    assert "4 of 16" in notes[0][1]
    alike = 0.9 + 0.01 * np.random.default_rng(0).normal(size=16)
    assert not accuracy_notes((0.9, 0.9), alike, alike)


def raising(x: Any, y: Any, seed: int) -> Any:
    return lambda z: {}["nope"]  # type: ignore[index]


def test_mistakes_in_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="predict function fails"):
        audit(tmp_path, raising)
    with pytest.raises(StudyError, match="no parameters"):
        audit(tmp_path, lambda: nn.Sequential(nn.Flatten(), nn.AvgPool1d(6, 6)), "b")
    with pytest.raises(StudyError, match="does not take the records"):
        audit(tmp_path, lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "c")


class Fails(nn.Module):
    """Takes any batch but one of a single record, and answers no logits alone where it is told so."""

    def __init__(self, pair: bool = False) -> None:
        super().__init__()
        self.layer, self.pair = nn.Linear(64, 10), pair

    def forward(self, x: torch.Tensor) -> Any:
        if self.training and len(x) == 1:
            raise KeyError
        answer = self.layer(x.flatten(1))
        return (answer, x) if self.pair else answer


def test_what_a_module_raises_is_told_as_its_own(tmp_path: Path) -> None:
    small: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 4, "attacks": ["loss"]}
    with pytest.raises(TrainingError, match=r"training on 60 records in batches of one fails(.|\n)*batch_size = 2"):
        mw.audit(model=Fails, **small, settings={"training.batch_size": 1})
    with pytest.raises(StudyError, match=r"does not answer logits alone(.|\n)*found: a tuple"):
        mw.audit(model=lambda: Fails(pair=True), **small)


def test_no_single_record_is_left_over_when_models_are_asked() -> None:
    sizes = []

    def noting(x: torch.Tensor) -> None:
        sizes.append(len(x))

    class Squeezing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            noting(x)
            return self.layer(x).squeeze()  # type: ignore[no-any-return]

    engine = StackTrainer(Network(Squeezing, CPU), DATA, Plan(1, "float32", 1, stacked=False))
    models = engine.train(jobs(1))
    assert isinstance(models, TorchModels)
    sizes.clear()
    assert models.predict(np.zeros((models.CHUNK + 1, 6), np.float32)).shape == (1, models.CHUNK + 1, 3)
    assert min(sizes) > 1


def test_files_of_two_folders_import_each_what_lies_beside_it(tmp_path: Path) -> None:
    """Under the same names, in one process, one after the other and back again."""
    hashes = []
    for turn in (1, 2, 1):
        folder = tmp_path / str(turn)
        (folder / "odd_parts_beside").mkdir(parents=True, exist_ok=True)
        (folder / "odd_widths_beside.py").write_text(f"WIDTH = {turn}\n")
        (folder / "odd_parts_beside" / "__init__.py").write_text("from odd_parts_beside.deep import DEPTH\n")
        (folder / "odd_parts_beside" / "deep.py").write_text(f"DEPTH = {10 * turn}\n")
        (folder / "model.py").write_text(
            "from odd_parts_beside import DEPTH\nfrom odd_widths_beside import WIDTH\n\n"
            "def make():\n    return DEPTH + WIDTH\n"
        )
        make = load_entrypoint(f"{folder / 'model.py'}:make", "model.name")
        assert make() == 11 * turn
        hashes.append(code_hash(make))
    assert hashes[0] == hashes[2] != hashes[1]
