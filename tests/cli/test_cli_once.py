"""An option given twice is never forgotten in silence: taken together, or refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.cli.once import Once


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


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("audit", "--seed", "1", "--seed", "2"), "--seed"),
        (("audit", "--data", "a.csv", "--data=b.csv"), "--data"),
        (("defend", "--out", "a", "--out", "b"), "--out"),
        (("reproduce", "ws-ablation", "--seeds", "1", "--seeds", "2"), "--seeds"),
        (("evidence", "verify", "x", "--key", "a", "--key", "b"), "--key"),
        (("data", "check", "x", "--label", "a", "--label", "b"), "--label"),
        (("keys", "new", "x", "--plan", "a", "--plan", "b"), "--plan"),
    ],
)
def test_an_option_of_one_value_is_refused_twice(words: tuple[str, ...], option: str) -> None:
    assert f"{option} is given 2 times, and takes one value" in refused(*words)


def test_every_verb_refuses_it() -> None:
    groups: list[Any] = [typer.main.get_command(app)]
    verbs: list[Any] = []
    while groups:
        for command in groups.pop().commands.values():
            (groups if hasattr(command, "commands") else verbs).append(command)
    assert len(verbs) > 10
    assert all(isinstance(verb, Once) for verb in verbs)


def test_switches_and_lists_are_given_as_often_as_one_likes() -> None:
    done = CliRunner().invoke(app, ["list", "attacks", "--debug", "--debug"])
    assert done.exit_code == 0


def test_a_key_is_set_once() -> None:
    message = refused("audit", "--set", "training.epochs=3", "--set", "training.epochs=4")
    assert "--set gives training.epochs 2 values" in message


def test_a_flag_and_a_setting_are_not_both_taken(table: str) -> None:
    words = ("audit", "--data", table, "--label", "outcome", "--drop", "id", "--set", 'data.drop=["age"]')
    assert "a flag and --set both give data.drop" in refused(*words)
