"""A finished run is recognised by its key, without preparing it; whatever its result depends on makes it another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import memberwise.auditing.run
from memberwise.attacks import Attack, Needs
from memberwise.attacks.own import study_name
from memberwise.auditing.prepare import Inputs
from memberwise.auditing.resolve import resolve
from memberwise.auditing.reuse import audit_or_reuse, run_key
from memberwise.data import from_object
from memberwise.data.dataset import Dataset
from memberwise.signals import Signals
from memberwise.study.reading import make_study
from memberwise.study.schema import Study

MODEL = "from torch import nn\n\n\ndef small():\n    return nn.Sequential(nn.Flatten(), nn.Linear({width}, 3))\n"
DEFENCE = (
    "from memberwise.defences.output import OutputDefence\n\n\n"
    "class Mine(OutputDefence):\n"
    "    def answer(self, target, x, states, keys):\n"
    "        return {factor} * target.predict(x)\n"
)
TRAINING = (
    "from memberwise.defences.training.base import Options, TrainingDefence\n\n\n"
    "def settings(options, study):\n"
    "    return {{'training.learning_rate': 0.0{rate}}}\n\n\n"
    "DEFENCE = TrainingDefence('slow', Options, settings=settings, source='none', summary='Slowly.')\n"
)


def records(seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    y = np.arange(240) % 3
    return from_object((rng.random((240, 5), np.float32) + y[:, None], y), source="made up")


def study(out: Path, **parts: Any) -> Study:
    values: dict[str, Any] = {
        "data": {"source": "made up", "members": 60, "nonmembers": 60},
        "model": {"name": "mlp", "hidden": [4]},
        "training": {"epochs": 1},
        "shadow": {"count": 2},
        "attacks": {"use": ["loss"]},
        "run": {"out": str(out), "seed": 1},
    }
    for name, part in parts.items():
        values[name] = values.get(name, {}) | part if isinstance(part, dict) else part
    return make_study(values, "the test")


@pytest.mark.slow
def test_finished_run_is_read_without_preparing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, out = Inputs(dataset=records()), tmp_path / "run"
    first = audit_or_reuse(study(out), inputs)

    def prepared(*args: object) -> None:
        raise AssertionError("a finished run is prepared again")

    monkeypatch.setattr(memberwise.auditing.run, "prepare", prepared)
    assert audit_or_reuse(study(out), inputs).to_dict() == first.to_dict()
    for changed in ({"attacks": {"use": ["gap"]}}, {"shadow": {"count": 4}}, {"statistics": {"confidence": 0.9}}):
        with pytest.raises(AssertionError, match="prepared again"):
            audit_or_reuse(study(out, **changed), inputs)


def test_key_of_a_table_builds_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": np.arange(20.0), "b": ["x", "y"] * 10, "label": ["no", "yes"] * 10})
    table = from_object(frame, label="label", source="made up")

    def built(*args: object) -> None:
        raise AssertionError("a model is built from rows that are not encoded")

    monkeypatch.setattr("memberwise.models.build._built", built)
    assert run_key(resolve(study(tmp_path)), Inputs(dataset=table)) is not None


@pytest.mark.slow
def test_finished_run_without_result_is_done_again(tmp_path: Path) -> None:
    inputs, out = Inputs(dataset=records()), tmp_path / "run"
    first = audit_or_reuse(study(out), inputs)
    (out / "result.json").unlink()
    again = audit_or_reuse(study(out), inputs)
    assert again.auc() == first.auc()
    assert (out / "result.json").exists()


def test_key_changes_with_data_and_rows(tmp_path: Path) -> None:
    resolved = resolve(study(tmp_path))
    rows = {"members": np.arange(60)}
    keys = [
        run_key(resolved, Inputs(dataset=records())),
        run_key(resolved, Inputs(dataset=records(1))),
        run_key(resolved, Inputs(dataset=records(), rows=rows)),
        run_key(resolved, Inputs(dataset=records(), rows={"members": np.arange(1, 61)})),
    ]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert run_key(resolved, Inputs(dataset=records())) == keys[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "text", "change"),
    [
        (lambda file: {"model": {"name": f"{file}:small"}}, MODEL, {"width": 5}),
        (lambda file: {"answer": [{"name": f"{file}:Mine"}]}, DEFENCE, {"factor": 2}),
        (lambda file: {"training": {"defence": f"{file}:DEFENCE"}}, TRAINING, {"rate": 2}),
    ],
    ids=["model", "output defence", "training defence"],
)
def test_key_changes_with_users_code(
    part: Callable[[Path], dict[str, Any]], text: str, change: dict[str, int], tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text.format(**change))
    inputs = Inputs(dataset=records())
    first = run_key(resolve(study(tmp_path / "run", **part(file))), inputs)
    assert first == run_key(resolve(study(tmp_path / "run", **part(file))), inputs)
    file.write_text("# changed\n" + text.format(**change))
    assert first != run_key(resolve(study(tmp_path / "run", **part(file))), inputs)


def test_own_attack_is_run_again(tmp_path: Path) -> None:
    def score(signals: Signals, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
        return signals.target.log_p[0, :, 0].astype(np.float64)

    attack = Attack("own", score, Needs(), "none", "The log of p_y.")
    resolved = resolve(study(tmp_path, attacks={"use": [study_name(attack)]}), [attack])
    assert run_key(resolved, Inputs(dataset=records())) is None


def test_trained_target_is_never_taken_as_known(tmp_path: Path) -> None:
    assert run_key(resolve(study(tmp_path)), Inputs(dataset=records(), target=object())) is None


def test_key_changes_with_what_a_function_closes_over(tmp_path: Path) -> None:
    def trained(x: object, y: object, seed: int, value: float = 0.0) -> Callable[[Any], Any]:
        return lambda z: np.full((len(z), 3), value)

    def closing(value: float) -> Callable[..., Any]:
        return lambda x, y, seed: trained(x, y, seed, value)

    resolved = resolve(study(tmp_path))
    models = [closing(1.0), closing(2.0), partial(trained, value=1.0), partial(trained, value=2.0), trained]
    keys = [run_key(resolved, Inputs(dataset=records(), model=model)) for model in models]
    assert len(set(keys)) == len(keys)
    assert run_key(resolved, Inputs(dataset=records(), model=closing(1.0))) == keys[0]
