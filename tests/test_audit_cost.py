"""What an audit would cost, from fewer records than it will ask about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memberwise.auditing import cost
from memberwise.auditing.cost import _memory, estimate_cost
from memberwise.study.schema import Study


@pytest.mark.slow
def test_early_checkpoints_are_asked_about_the_few_records_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked about places among all audited and population records; a calibration holds the first of each."""
    monkeypatch.setattr(cost, "CALIBRATION_RECORDS", 20)
    data = {"source": "digits", "members": 60, "nonmembers": 60, "population": 100}
    study = {"data": data, "model": {"hidden": (8,)}, "training": {"epochs": 6}, "shadow": {"count": 4}}
    told = estimate_cost(Study.model_validate(study | {"attacks": {"use": ("learned",)}}))
    assert 0 < told.seconds < 600
    assert told.models == 5


def test_memory_is_bounded_where_signals_are_mapped_from_files() -> None:
    """10,000 models x 100,000 records: 5.0 GB were measured, of which 0.3 GB are the process's own."""
    assert 4e9 < _memory(10_000 * 100_000, 9_200_000_000, ["loss", "learned"]) < 6e9
    assert _memory(128_000, 1_000_000, ["loss"]) < 3e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="of Linux")
def test_what_the_parent_holds_is_no_memory_of_ours() -> None:
    held = np.ones(250_000_000)  # 2 GB
    script = "from memberwise.auditing.cost import _resident; print(_resident())"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert 5e7 < int(told) < held.nbytes / 2
