"""``memberwise reproduce`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app

RUNNER = CliRunner()


def test_the_list_says_data_times_and_gpu() -> None:
    done = RUNNER.invoke(app, ["reproduce", "--list", "--json"])
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["kaplan-baseline"]["data"] == [["mnist"]]
    assert set(rows["kaplan-baseline"]["minutes"]) == {"smoke", "quick", "full"}
    assert any(row["gpu"] for row in rows.values())
    assert "kaplan-baseline" in RUNNER.invoke(app, ["reproduce", "--list"]).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which table?"),
        (["kaplan-basline"], "did you mean kaplan-baseline"),
        (["kaplan-baseline", "--smoke", "--full"], "one size at a time"),
    ],
)
def test_what_cannot_be_repeated_is_refused(arguments: list[str], message: str) -> None:
    done = RUNNER.invoke(app, ["reproduce", *arguments])
    assert done.exit_code == 2
    assert message in done.stderr


def test_missing_data_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMBERWISE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = RUNNER.invoke(app, ["reproduce", "shokri-noisy", "--smoke"])
    assert done.exit_code != 0
    assert "location30" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_smoke_run_is_kept_and_read_again(real_data: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "run", tmp_path / "kept"
    command = ["reproduce", "kaplan-baseline", "--smoke", "--out", str(out), "--keep", str(kept), "--json", "--quiet"]
    first = RUNNER.invoke(app, command)
    assert first.exit_code == 0, first.stderr
    claim = json.loads(first.stdout)
    audits = sorted((out / "seed-1" / "audits").glob("*/result.json"))
    assert len(audits) == 2  # two sizes
    before = [file.stat().st_mtime_ns for file in audits]
    again = json.loads(RUNNER.invoke(app, command).stdout)
    assert [file.stat().st_mtime_ns for file in audits] == before
    assert again["findings"] == claim["findings"]
    assert (kept / "kaplan-baseline-smoke.json").exists()
    assert "kaplan-baseline" in (kept / "README.md").read_text()
