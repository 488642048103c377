"""``memberwise screen`` as a command: its output, its dry run, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app

SMALL = ["screen", "--data", "digits", "--members", "40", "--nonmembers", "40", "--set", "training.epochs=2"]


@pytest.mark.slow
def test_json_is_the_file_and_nothing_else(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*SMALL, "--out", str(tmp_path / "run"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads((tmp_path / "run" / "screen.json").read_text())


@pytest.mark.slow
def test_text_says_whether_an_audit_is_worth_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*SMALL, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "40 records, ranked" in done.stdout
    assert "audit" in done.stdout
    assert "screen.csv" in done.stdout


@pytest.mark.slow
def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*SMALL, "--out", str(tmp_path / "run"), "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["models"] == 1
    assert json.loads(done.stdout)["rows"] == 40
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--data", "nothing-of-this-name"], ["--resume", "--out", "nowhere"], ["--set", "training.epoch=3"]],
)
def test_bad_input_is_a_usage_error(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["screen", *arguments])
    assert done.exit_code == 2, done.output
    assert list(tmp_path.iterdir()) == []
