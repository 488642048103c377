"""Lists given again are taken together: the last one alone would leave out what the others say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app


@pytest.fixture
def table(tmp_path: Path) -> str:
    rows = [f"{n},{n % 7},{n % 5},{n % 3},{'ab'[n % 2]}" for n in range(400)]
    (tmp_path / "t.csv").write_text("\n".join(["id,age,ward,sex,outcome", *rows]) + "\n")
    return str(tmp_path / "t.csv")


def study_of(tmp_path: Path, *words: str) -> dict[str, dict[str, object]]:
    """The study of an audit with these words."""
    done = CliRunner().invoke(app, ["audit", *words, "--quiet", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    return tomllib.loads((tmp_path / "run" / "study.toml").read_text())


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


def test_columns_and_names_given_again_are_taken_together(table: str, tmp_path: Path) -> None:
    words = ["--data", table, "--label", "outcome", "--members", "100", "--nonmembers", "100", "--shadow-models", "2"]
    words += ["--drop", "id", "--drop", "age", "--group", "sex", "--group", "ward"]
    words += ["--attacks", "loss", "--attacks", "gap", "--fpr", "0.3", "--fpr", "0.2,0.1"]
    study = study_of(tmp_path, *words)
    assert study["data"]["drop"] == ["id", "age"]
    assert study["data"]["group"] == "sex,ward"
    assert study["attacks"]["use"] == ["loss", "gap"]
    assert study["statistics"]["fpr"] == [0.3, 0.2, 0.1]


def test_a_flag_and_a_setting_are_not_both_taken(table: str) -> None:
    words = ("audit", "--data", table, "--label", "outcome", "--drop", "id", "--set", 'data.drop=["age"]')
    assert "a flag and --set both give data.drop" in refused(*words)
