"""Recipes chosen on validation records: who they are, what is tried, what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memberwise.data import Dataset
from memberwise.reproduce import find_reproduction
from memberwise.reproduce import tuning as module
from memberwise.reproduce.bench import Bench
from memberwise.reproduce.tuning import SEED, merged, roles, tune


def dataset(own: int, test: int) -> Dataset:
    n = own + test
    rows = np.arange(own, n) if test else None
    return Dataset(np.zeros((n, 1), np.float32), np.zeros(n, np.int64), ("a",), "made", test=rows)


@given(st.integers(60, 300), st.integers(0, 50), st.integers(1, 20), st.integers(1, 9))
def test_validation_records_are_nobodys_whatever_the_seed(own: int, test: int, each: int, seed: int) -> None:
    data = dataset(own, test)
    one, other, tuning = (roles(data, each, each, each, s) for s in (seed, seed + 1, SEED))
    assert np.array_equal(one["validation"], other["validation"])
    assert np.array_equal(one["validation"], tuning["validation"])
    for found in (one, other, tuning):
        rows = np.concatenate(list(found.values()))
        assert len(set(rows)) == 3 * each
        assert rows.max() < own, "none of the test part"
    assert len(one["members"]) == each


def test_options_of_a_defence_are_merged() -> None:
    base = {"training.defence": {"name": "dp-sgd", "clip": 1.0}, "training.epochs": 5}
    assert merged(base, {"training.defence": {"clip": 0.1}, "data.members": 3}) == {
        "training.defence": {"name": "dp-sgd", "clip": 0.1},
        "training.epochs": 5,
        "data.members": 3,
    }
    assert base["training.defence"] == {"name": "dp-sgd", "clip": 1.0}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(find_reproduction("shokri-dp"), "smoke", 1, "cpu", tmp_path / "seed-1", ("mnist", "cifar10"))


def test_coordinates_are_chosen_one_after_the_other(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, Any]] = []

    def accuracy(bench: Bench, label: str, settings: Mapping[str, Any]) -> float:
        asked.append(settings)
        return 1 - abs(settings["a"] - 2) / 10 - abs(settings["defence"]["b"] - 1) / 20  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "_accuracy", accuracy)
    rates: list[Mapping[str, Any]] = [{"a": a} for a in (1, 2, 3)]
    clips: list[Mapping[str, Any]] = [{"defence": {"b": b}} for b in (0, 1)]
    means: list[Mapping[str, Any]] = [{"defence": {"c": c}} for c in (0, 5)]
    found = tune(bench, "label", {"defence": {"name": "d"}}, [rates, clips, means])
    assert found.settings == {"a": 2, "defence": {"b": 1, "c": 0}}, "of equals the first"
    assert found.accuracy == 1
    assert len(asked) == len(found.tried) == 5, "nothing is trained twice"
    assert all(settings["defence"]["name"] == "d" and settings["defence"]["c"] in (0, 5) for settings in asked)


@pytest.mark.slow
def test_a_tuned_model_is_trained_once(bench: Bench, real_data: Path) -> None:
    settings = {
        "data.source": "location30",
        "data.members": 100,
        "data.nonmembers": 100,
        "data.validation": 80,
        "model.hidden": [16],
        "training.epochs": 40,
    }
    rates: list[Mapping[str, Any]] = [{"training.learning_rate": rate} for rate in (1e-9, 0.1)]
    found = tune(bench, "location30", settings, [rates])
    assert found.settings == {"training.learning_rate": 0.1}
    files = sorted((bench.folder.parent / "tuning").iterdir())
    assert len(files) == 2
    for file in files:
        file.write_text(file.read_text().replace('"accuracy": ', '"accuracy": 0.0001, "was": '))
    assert tune(bench, "location30", settings, [rates]).accuracy == 0.0001
    changed = tune(bench, "location30", settings | {"training.epochs": 41}, [rates])
    assert changed.accuracy > 0.0001, "another recipe is trained"
