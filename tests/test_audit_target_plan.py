"""The target is the same whatever the number of shadow models, and however these are trained."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from memberwise.auditing.prepare import Inputs, prepare
from memberwise.auditing.resolve import resolve
from memberwise.auditing.run import run_audit
from memberwise.auditing.target import TARGET_BLOCK, target_key
from memberwise.data import from_object
from memberwise.study.reading import make_study
from memberwise.study.schema import Study
from memberwise.types.parts import Plain


def inputs() -> Inputs:
    rng = np.random.default_rng(0)
    y = np.arange(160) % 3
    return Inputs(dataset=from_object((rng.random((160, 5), np.float32) + y[:, None], y), source="made up"))


def study(out: Path, count: int, **parts: object) -> Study:
    values: Plain = {
        "data": {"source": "made up", "members": 40, "nonmembers": 40},
        "model": {"name": "mlp", "hidden": [8], "dropout": 0.1},
        "training": {"epochs": 3, "batch_size": 16},
        "shadow": {"count": count},
        "attacks": {"use": ["loss"]},
        "run": {"out": str(out), "seed": 1},
    }
    return make_study(values | parts, "the test")


def target_of(folder: Path) -> dict[str, str]:
    """Digests of the target's weights, and of every array of its signals."""
    [weights] = (folder / "target").glob("*.safetensors")
    digests = {"weights": hashlib.sha256(weights.read_bytes()).hexdigest()}
    with np.load(folder / "signals" / f"{TARGET_BLOCK}.npz", allow_pickle=False) as arrays:
        names = sorted(name for name in arrays.files if "seconds" not in name)
        return digests | {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("plan", [{}, {"precision": "bfloat16"}, {"stack": 2, "precision": "bfloat16"}])
def test_target_is_the_same_for_any_number_of_shadow_models(plan: dict[str, object], tmp_path: Path) -> None:
    """K = 4 and K = 8; the larger run with whatever plan its measurements might have chosen."""
    run_audit(study(tmp_path / "four", 4), inputs())
    run_audit(study(tmp_path / "eight", 8, plan=plan), inputs())
    assert target_of(tmp_path / "four") == target_of(tmp_path / "eight")


def test_a_former_run_is_recognised_by_its_same_target(tmp_path: Path) -> None:
    """The target's key was made of the plan of all models: so it still is, where that is the target's own."""

    def both(**plan: object) -> tuple[dict[str, object], str]:
        prepared = prepare(resolve(study(tmp_path / "run", 4, plan=plan), ()), inputs())
        return {**prepared.identity, "target": prepared.target_identity["plan"]}, target_key(prepared)

    identity, key = both(stack=2)
    assert identity["plan"] == identity["target"]
    half, other = both(stack=2, precision="bfloat16")
    assert half["plan"] != half["target"] == identity["target"]
    assert other == key


@pytest.mark.slow
def test_stages_add_up_to_the_whole(tmp_path: Path) -> None:
    run_audit(study(tmp_path / "run", 2), inputs())
    values = json.loads((tmp_path / "run" / "result.json").read_text())
    spent = {one["stage"]: one["seconds"] for one in values["stages"]}
    assert sum(spent.values()) >= values["seconds"] - 0.02
    assert min(spent["plan"], spent["target"], spent["shadow models"], spent["report"]) > 0
    assert spent["start-up"] == 0
