"""What the benchmark of the time to power has attacked; its figures are not tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RESULTS = BENCHMARKS / "results" / "power.json"


@pytest.mark.parametrize(
    ("name", "shape"), [("Adult, MLP", (106,)), ("CIFAR-10", (3, 32, 32)), ("Location-30", (446,))]
)
def test_every_tool_gets_numbers_of_the_whole_records(
    name: str, shape: tuple[int, ...], real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBERWISE_DATA", str(real_data))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import power_tasks

    kind = power_tasks.KINDS[name]
    x, y, classes = power_tasks.records_of(kind, np.random.default_rng(1))
    assert x.shape == (2 * kind.records + kind.population, *shape)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert (x.std(0) > 0).mean() > 0.9  # no column of a table, no pixel, is lost
    assert {*np.unique(y)} == {*range(classes)}


def test_rows_on_the_page_hold_no_failure_of_ours() -> None:
    rows = json.loads(RESULTS.read_text())["rows"]
    assert rows
    assert not [row for row in rows if row["tool"] == "memberwise" and ("failure" in row or not row["attacks"])]


def test_times_ours_are_told_whoever_was_measured_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from power_page import page

    figure = {"auc": 0.9, "low": 0.89, "high": 0.91, "tpr": 0.1, "n": 100}
    row = {"task": "made up", "seed": 1, "models": 64, "cpu_seconds": 1.0, "headline": "learned"}
    attacks = {"lira-online": figure, "learned": figure}
    rows = [row | {"tool": tool, "seconds": s, "attacks": attacks} for tool, s in (("ART", 30.0), ("memberwise", 10.0))]
    machine = {"processor": "one", "cores": 1, "memory_gb": 1}
    assert "| made up | 0.9000 | 10 (1), 64 | 30 (1), 64 [3.0] |" in page(
        {"rows": rows, "machine": machine, "versions": {}, "missing": {}}
    )


def teardown_module() -> None:
    for name in ("power_tasks", "power_models", "power_page"):
        sys.modules.pop(name, None)
