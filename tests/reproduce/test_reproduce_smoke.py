"""Four reproductions at their smallest size, from the data to the claim file."""

from __future__ import annotations

from pathlib import Path

import pytest

from memberwise.reproduce import Claim, find_reproduction, run_reproduction
from memberwise.reproduce.published import published

# What has a figure of ours in each, by setting and measure.
SMOKE = {
    "memguard-location": ("budget 1", "attack accuracy, neural"),
    "mia-library": ("slides' code", "attack accuracy"),
    "nasr-table-6": ("L2 0.005", "attack accuracy"),
    "overview-lira": ("lira-online-fixed", "AUC"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMOKE))
def test_a_reproduction_runs(name: str, real_data: Path, tmp_path: Path) -> None:
    claim, folder = run_reproduction(find_reproduction(name), "smoke", out=tmp_path, device="cpu")
    rows = {(row.setting, row.measure): row for row in claim.findings.rows}
    assert len(rows) == len(claim.findings.rows)
    assert {(figure.setting, figure.measure) for figure in published(name)} <= set(rows)
    found = rows[SMOKE[name]].ours
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    assert found.n > 0
    assert found.seeds == claim.seeds == (1,)
    assert not claim.failed  # tolerances do not count at this size
    assert all(row.verdict in ("not compared", "not published", "not run") for row in rows.values())
    assert Claim.load(folder / "claim.json") == claim
    assert {file.stem for file in folder.glob("*.svg")} == {plot.name for plot in claim.findings.plots}
