from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from memberwise.attacks import ATTACKS, run_attacks
from memberwise.compat.mia.estimators import AttackModelBundle, ShadowModelBundle, prepare_attack_data
from memberwise.compat.mia.wrappers import SklearnWrapper
from memberwise.seeds import Seeds
from memberwise.signals import Signals
from memberwise.signals.read import read_answers

EXAMPLE = Path(__file__).parents[2] / "examples" / "mia_library.py"
CLASSES = 4


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mia_library_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Memory:
    """Answers 0.7 for the true class of records it was fitted on, 0.4 for others; keeps what ``fit`` was given."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.given: dict[str, Any] = {}
        self.seen: set[float] = set()

    def fit(self, X: NDArray[Any], y: NDArray[Any], **given: Any) -> None:
        self.seen, self.given, self.labels = set(X[:, 0]), given, y

    def predict(self, X: NDArray[Any]) -> NDArray[np.float64]:
        top = np.array([0.7 if row[0] in self.seen else 0.4 for row in X])
        answers = np.repeat((1 - top)[:, None] / (CLASSES - 1), CLASSES, axis=1)
        answers[np.arange(len(X)), X[:, 0].astype(int) % CLASSES] = top
        return answers


def records(n: int = 60) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first feature is the record's number, its rest by ``CLASSES`` the class."""
    x = np.column_stack([np.arange(n), np.zeros(n)]).astype(float)
    return x, np.eye(CLASSES)[np.arange(n) % CLASSES]


def threshold_fn() -> SklearnWrapper:
    return SklearnWrapper(LogisticRegression(C=1e4))


@pytest.mark.slow
def test_the_example_finds_members() -> None:
    """Both targets are overfitted: 600 guesses would exceed 0.57 by chance once in 3,000 times."""
    result = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["scikit-learn", "torch"]
    assert all(float(line.split()[-1]) > 0.57 for line in lines)


@pytest.mark.slow
def test_about_as_strong_as_our_attack_on_the_same_models(example: ModuleType) -> None:
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(1)
    x, y = digits.data / 16 + rng.normal(scale=0.5, size=digits.data.shape), np.eye(10)[digits.target]
    target = example.sklearn_target_fn().fit(x[:300], y[:300], epochs=40)
    smb = ShadowModelBundle(example.sklearn_target_fn, shadow_dataset_size=300, num_models=8)
    shadow = smb.fit_transform(x[600:], y[600:], fit_kwargs={"epochs": 40})
    amb = AttackModelBundle(example.attack_model_fn, num_classes=10).fit(*shadow)
    data, member = prepare_attack_data(target, (x[:300], y[:300]), (x[300:600], y[300:600]))
    theirs = np.mean(amb.predict(data) == member)

    trained_on = np.zeros((8, len(x)), np.int8)
    for k, rows in enumerate(smb.shadow_train_indices_):
        trained_on[k, 600 + rows] = 1
    answers = [
        read_answers(np.stack([model.predict(x) for model in models])[:, :, None], digits.target, "probabilities")
        for models in ([target], smb.shadow_models_)
    ]
    signals = Signals(np.arange(len(x)), digits.target, answers[0], answers[1], trained_on)
    (outcome,) = run_attacks(signals, [ATTACKS["shokri"]], Seeds(0))
    assert outcome.scores is not None
    ours = np.mean((outcome.scores[:600] > 0.5) == member)
    assert theirs > 0.57
    assert abs(theirs - ours) < 0.08


def test_a_model_that_cannot_leak(example: ModuleType) -> None:
    """Neither part was trained on: 1,200 guesses lie within 3.3 standard errors of 1/2 but once in 1,000 times."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2400, 8)), np.eye(CLASSES)[rng.integers(0, CLASSES, 2400)]
    target = example.sklearn_target_fn().fit(x[:300], y[:300], epochs=20)
    smb = ShadowModelBundle(example.sklearn_target_fn, shadow_dataset_size=300, num_models=2)
    amb = AttackModelBundle(threshold_fn, num_classes=CLASSES)
    amb.fit(*smb.fit_transform(x[1500:], y[1500:], fit_kwargs={"epochs": 20}))
    data, member = prepare_attack_data(target, (x[300:900], y[300:900]), (x[900:1500], y[900:1500]))
    assert abs(np.mean(amb.predict(data) == member) - 0.5) < 3.3 * 0.5 / np.sqrt(1200)


def test_a_model_that_remembers_is_told_apart_without_error() -> None:
    x, y = records(200)
    smb = ShadowModelBundle(Memory, shadow_dataset_size=40, num_models=3)
    amb = AttackModelBundle(threshold_fn, num_classes=CLASSES).fit(*smb.fit_transform(x[100:], y[100:]))
    target = Memory()
    target.fit(x[:50], y[:50])
    data, member = prepare_attack_data(target, (x[:50], y[:50]), (x[50:100], y[50:100]))
    assert amb.predict(data).tolist() == member.tolist()
    chances = amb.predict_proba(data)
    assert chances[:50].min() > 0.9  # higher = more likely a member
    assert chances[50:].max() < 0.1


@pytest.mark.parametrize("one_hot", [True, False])
def test_shapes_order_and_balance(one_hot: bool) -> None:
    """Row by row from the models and their records."""
    x, hot = records()
    y = hot if one_hot else hot.argmax(1)
    smb = ShadowModelBundle(Memory, shadow_dataset_size=20, num_models=4, seed=3)
    data, member = smb.fit_transform(x, y, fit_kwargs={"epochs": 5})
    assert data.shape == (4 * 40, 2 * CLASSES if one_hot else CLASSES + 1)
    assert member.tolist() == 4 * ([1.0] * 20 + [0.0] * 20)
    row = 0
    for model, inside, outside in zip(
        smb.shadow_models_, smb.shadow_train_indices_, smb.shadow_test_indices_, strict=True
    ):
        assert model.given == {"epochs": 5}
        assert len(set(inside) | set(outside)) == 40
        assert model.seen == set(x[inside, 0])
        np.testing.assert_array_equal(model.labels, y[inside])
        for record in (*inside, *outside):
            np.testing.assert_array_equal(data[row, :CLASSES], model.predict(x[[record]])[0])
            np.testing.assert_array_equal(data[row, CLASSES:], y[record])
            row += 1
    amb = AttackModelBundle(threshold_fn, CLASSES, class_one_hot_coded=one_hot).fit(data, member)
    assert np.mean(amb.predict(data) == member) == 1


def test_seeds_decide_and_longer_bundles_begin_alike() -> None:
    x, y = records()

    def bundle(models: int, seed: int = 42, fn: Callable[..., Any] = Memory) -> ShadowModelBundle:
        smb = ShadowModelBundle(fn, shadow_dataset_size=10, num_models=models, seed=seed)
        smb.fit_transform(x, y)
        return smb

    first, longer = bundle(2), bundle(5)
    assert np.array_equal(first.shadow_train_indices_, longer.shadow_train_indices_[:2])
    assert not np.array_equal(first.shadow_train_indices_, bundle(2, seed=1).shadow_train_indices_)
    assert [model.seed for model in longer.shadow_models_][:2] == [model.seed for model in first.shadow_models_]
    assert len({model.seed for model in longer.shadow_models_}) == 5
    assert [model.seed for model in bundle(2, fn=lambda: Memory()).shadow_models_] == [None, None]


def test_each_class_has_its_own_attack_model() -> None:
    """Class 0 leaks upwards, class 1 downwards: one model for both would know nothing."""
    rng = np.random.default_rng(0)
    member, label = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    p = 0.5 + 0.3 * np.where(member == label, 1, -1)
    data = np.column_stack([p, 1 - p, np.eye(2)[label]])
    amb = AttackModelBundle(threshold_fn, num_classes=2).fit(data, member)
    assert np.array_equal(amb.predict(data), member)
    assert amb.predict(data[:1]).shape == (1,)
    assert len(amb.attack_models_) == 2


def test_attack_models_may_answer_one_column_or_two() -> None:
    class Plain:
        def __init__(self, form: str) -> None:
            self.form = form

        def fit(self, X: NDArray[Any], y: NDArray[Any]) -> None:
            assert set(y) == {0, 1}

        def predict(self, X: NDArray[Any]) -> NDArray[Any]:
            p = X[:, 0]
            return {"(n,)": p, "(n, 1)": p[:, None], "(n, 2)": np.column_stack([1 - p, p])}[self.form]

    data = np.column_stack([[0.9, 0.2, 0.6, 0.5], [0.1, 0.8, 0.4, 0.5], [1, 1, 0, 0], [0, 0, 1, 1]])
    for form in ("(n,)", "(n, 1)", "(n, 2)"):
        amb = AttackModelBundle(lambda form=form: Plain(form), num_classes=2).fit(data, [1, 0, 1, 0])
        assert amb.predict_proba(data).tolist() == [0.9, 0.2, 0.6, 0.5]
        assert amb.predict(data).tolist() == [1, 0, 1, 0]


def test_a_serializer_keeps_the_models() -> None:
    class Shelf(dict[str, Any]):
        save = dict.__setitem__
        load = dict.__getitem__

    x, y = records()
    shelf = Shelf()
    smb = ShadowModelBundle(Memory, shadow_dataset_size=20, num_models=2, serializer=shelf)
    data, member = smb.fit_transform(x, y)
    amb = AttackModelBundle(threshold_fn, CLASSES, serializer=shelf).fit(data, member)
    assert list(shelf) == ["shadow_0", "shadow_1", "attack_0", "attack_1", "attack_2", "attack_3"]
    assert smb.shadow_models_ == []
    assert np.array_equal(amb.predict(data), member)


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = records()
    smb = ShadowModelBundle(Memory, shadow_dataset_size=20, num_models=2)
    smb.fit_transform(x, y)
    assert capsys.readouterr() == ("", "")
    smb.fit_transform(x, y, verbose=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "2/2" in err
