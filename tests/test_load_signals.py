"""``load_signals``: the table of a finished run, from which every attack comes out as in scores.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import memberwise as mw
from memberwise.attacks import ATTACKS
from memberwise.seeds import Seeds

USE = ["loss", "lira-online-fixed", "lira-offline-fixed", "rmia-offline", "shokri", "learned", "gap"]
FAST = {"training.epochs": 3, "model.hidden": [16]}
SMALL: dict[str, Any] = {
    "data": "digits",
    "members": 80,
    "nonmembers": 80,
    "shadow_models": 4,
    "attacks": USE,
    "seed": 4,
}


def check_scores(result: mw.Result, **objects: Any) -> mw.Result:
    """Every attack that ran, computed from the loaded table, has the scores of the run."""
    assert result.folder is not None
    signals = mw.load_signals(result.folder, **objects)
    scores = pd.read_csv(result.folder / "scores.csv")
    seeds = Seeds(result.data["study"]["run"]["seed"])
    order = np.argsort(signals.index, kind="stable")
    evaluated = scores["evaluated"].to_numpy(bool)
    names = [attack["name"] for attack in result.data["attacks"]]
    assert names
    for name in names:
        attack = ATTACKS[name]
        assert attack.needs.missing(signals) is None
        again = np.asarray(attack.score(signals, seeds.rng(f"attack:{name}")))[order]
        np.testing.assert_array_equal(scores[name].to_numpy()[evaluated], again[evaluated], err_msg=name)
    return result


CASES: dict[str, dict[str, Any]] = {
    "halves": {},
    "population": {"population": 60},
    "auxiliary": {"auxiliary": 300, "settings": {"shadow.data": "auxiliary"}},
    "noisy": {"auxiliary": 200, "settings": {"shadow.data": "noisy"}},
    "canaries": {"settings": {"canaries.count": 20}},
    "coins": {"settings": {"data.coins": True, "attacks.reveal": 0.2}, "attacks": [*USE, "nasr"]},
    "output defences": {"settings": {"answer": [{"name": "rounding"}, {"name": "confidence-noise"}]}},
    "queries": {"settings": {"queries": "mirror"}},
    "collectors": {"attacks": ["label-only-augment", "label-only-noise", "gradient-norm", "ml-leaks-3"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_attacks_on_the_loaded_table_equal_scores_csv(case: str, tmp_path: Path) -> None:
    given = CASES[case]
    check_scores(mw.audit(**SMALL | given | {"settings": FAST | given.get("settings", {})}, out=tmp_path / "run"))


@pytest.mark.slow
def test_made_up_shadow_records_are_read_from_their_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((400, 20)) < 0.5).astype(np.float32)
    data = {"x": x, "y": (x[:, :5].sum(1) > 2).astype(int)}
    settings = {"shadow.data": "synthetic", "shadow.synthesis.conf_min": 0.3, "training.epochs": 10}
    result = mw.audit(
        **SMALL | {"data": data, "settings": settings | {"shadow.allow_size_mismatch": True}}, out=tmp_path / "run"
    )
    check_scores(result, data=data)


def a_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=600), "b": rng.choice(["x", "y", "z"], 600)})
    table["person"] = rng.integers(0, 200, 600)
    table["outcome"] = np.where(table.a + (table.b == "x") + rng.normal(size=600) > 0.5, "yes", "no")
    return table


@pytest.mark.slow
def test_an_estimator_on_a_table_with_units_is_loaded(tmp_path: Path) -> None:
    settings = {"data": a_table(), "label": "outcome", "unit": "person", "model": RandomForestClassifier(10)}
    result = mw.audit(**SMALL | settings, out=tmp_path / "run")
    check_scores(result, data=a_table())
    with pytest.raises(mw.DataError, match="the data of this run were given in Python"):
        mw.load_signals(tmp_path / "run")
    with pytest.raises(mw.DataError, match="not the data of the run"):
        mw.load_signals(tmp_path / "run", data=a_table().iloc[:-1])


@pytest.mark.slow
def test_rows_given_as_arrays_are_asked_for_and_checked(tmp_path: Path) -> None:
    digits = load_digits()
    x, y = digits.data.astype(np.float32) / 16, digits.target
    rows: dict[str, Any] = {"members": np.arange(80), "nonmembers": np.arange(300, 380), "train_rows": np.arange(100)}
    target = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    settings = {"target": target, "model": "logistic", "data": (x, y)} | rows
    result = mw.audit(**SMALL | settings, settings={"training.epochs": 2}, out=tmp_path / "run")
    check_scores(result, data=(x, y), **rows)
    with pytest.raises(mw.DataError, match="the rows of members were given in Python"):
        mw.load_signals(tmp_path / "run", data=(x, y))
    with pytest.raises(mw.DataError, match="the rows of members were given in Python, as an array, another one"):
        mw.load_signals(tmp_path / "run", data=(x, y), **rows | {"members": np.arange(1, 81)})


def saved() -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    y, member = rng.integers(0, 5, 100), np.arange(100) < 50
    first = np.stack([rng.permutation(100) < 50 for _ in range(3)])
    trained_on = np.concatenate([first, ~first]).astype(int)
    z, s = rng.normal(size=(100, 5)), rng.normal(size=(6, 100, 5))
    z[np.arange(100), y] += 1 + member
    s[:, np.arange(100), y] += 1 + trained_on
    return {"logits": z, "labels": y, "member": member.astype(int)}, {"logits": s, "trained_on": trained_on}


@pytest.mark.slow
def test_saved_answers_are_read_from_their_files(tmp_path: Path) -> None:
    outputs, shadow_outputs = saved()
    np.savez(tmp_path / "target.npz", **outputs)
    np.savez(tmp_path / "shadows.npz", **shadow_outputs)
    files: dict[str, Any] = {"outputs": tmp_path / "target.npz", "shadow_outputs": tmp_path / "shadows.npz"}
    check_scores(mw.audit(**files, attacks=USE, out=tmp_path / "run"))
    np.savez(tmp_path / "target.npz", **outputs | {"labels": 4 - outputs["labels"]})
    with pytest.raises(mw.DataError, match="not the data of the run"):
        mw.load_signals(tmp_path / "run")


@pytest.mark.slow
def test_saved_answers_given_as_objects_are_asked_for(tmp_path: Path) -> None:
    outputs, shadow_outputs = saved()
    objects: dict[str, Any] = {"outputs": outputs, "shadow_outputs": shadow_outputs}
    result = mw.audit(**objects, attacks=USE, out=tmp_path / "run")
    check_scores(result, **objects)
    with pytest.raises(mw.DataError, match="the outputs of this run were given in Python"):
        mw.load_signals(tmp_path / "run")


@pytest.mark.slow
def test_a_block_that_is_harmed_or_missing_is_refused(tmp_path: Path) -> None:
    mw.audit(**SMALL, settings=FAST, out=tmp_path / "run")
    block = tmp_path / "run" / "signals" / "block-00001.npz"
    block.write_bytes(block.read_bytes()[:-1])
    with pytest.raises(mw.RunFolderError, match="block-00001 cannot be read"):
        mw.load_signals(tmp_path / "run")
    with pytest.raises(mw.RunFolderError):
        mw.load_signals(tmp_path)
    with pytest.raises(TypeError, match="unexpected keyword argument 'memebrs'"):
        mw.load_signals(tmp_path / "run", memebrs=[1])


@pytest.mark.slow
def test_fewer_models_than_the_blocks_hold_are_loaded(tmp_path: Path) -> None:
    mw.audit(**SMALL, settings=FAST, out=tmp_path / "run")
    check_scores(mw.audit(**SMALL | {"shadow_models": 2}, settings=FAST, out=tmp_path / "run"))
