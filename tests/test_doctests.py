"""Each public name has an example in its docstring, and all examples run."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import memberwise as mw
from memberwise.sklearn import leakage_scorer
from memberwise.testing import assert_leakage_below

PUBLIC: dict[str, Any] = {name: getattr(mw, name) for name in mw.__all__ if name != "__version__"}
PUBLIC |= {"Result.tpr": mw.Result.tpr, "assert_leakage_below": assert_leakage_below, "leakage_scorer": leakage_scorer}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where examples run: a finished run of a table, ``runs/patients``, is there."""
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.integers(18, 90, 300), "job": rng.choice(["nurse", "smith", "clerk"], 300)})
    table["diagnosis"] = np.where(table["age"] + rng.normal(0, 20, 300) > 55, "ill", "well")
    table.to_csv(folder / "patients.csv", index=False)
    settings = {"training.epochs": 2, "model.hidden": [8], "statistics.turns": "none"}
    out = folder / "runs" / "patients"
    source = folder / "patients.csv"
    mw.audit(data=source, label="diagnosis", shadow_models=2, fpr=[0.1], attacks=["loss"], settings=settings, out=out)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLIC)
def test_example_of_public_name_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    examples = [
        test for test in doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={}) if test.examples
    ]
    assert examples, f"{name} has no example"
    said: list[str] = []
    for test in examples:
        failed = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
        assert failed.failed == 0, "".join(said)
