"""One ``policy.toml`` for ``load_target`` and for the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from memberwise.defences.output.policy import TABLES, read_policy, write_policy
from memberwise.errors import RunFolderError, StudyError
from memberwise.gateway.policy import Policy, read_gateway_policy
from memberwise.study.schema import OutputDefenceConfig

ANSWER = tuple(
    OutputDefenceConfig.model_validate(one)
    for one in ({"name": "round", "digits": 2}, {"name": "confidence-noise", "r": 0.1})
)
SERVED = """
[plans.default]
questions = 500
rates = ["60/minute"]
ladder = [{above = 0.0, tier = "vector"}, {above = 0.5, tier = "label"}]
[budget]
total = 100000
neighbourhood = {questions = 20}
[server]
port = 9000
[watch]
lower = "label"
[store]
url = "sqlite:///gateway.sqlite"
[access]
anonymous = false
"""


@pytest.mark.parametrize("answer", [ANSWER, ()])
def test_a_written_policy_is_the_gateways_too(tmp_path: Path, answer: tuple[OutputDefenceConfig, ...]) -> None:
    write_policy(tmp_path, answer)
    assert read_policy(tmp_path) == answer
    policy = read_gateway_policy(tmp_path / "policy.toml")
    assert (policy.version, policy.answer) == (1, answer)
    assert (tmp_path / "secret.key").exists() == bool(answer)


def test_a_policy_with_the_gateways_tables_is_read(tmp_path: Path) -> None:
    write_policy(tmp_path, ANSWER)
    path = tmp_path / "policy.toml"
    path.write_text(path.read_text() + SERVED)
    assert read_policy(tmp_path) == ANSWER
    assert read_gateway_policy(path).plans["default"].questions == 500


def test_the_tables_are_those_of_the_gateway() -> None:
    assert {"version", "answer", *TABLES} == set(Policy.model_fields)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("answr = []", "answr"),
        ("answer = []\nserverr = {}", "serverr"),
        ("answer = []\nserver = 3", "server"),
        ("version = 2\nanswer = []", "version"),
        ("version = true\nanswer = []", "version"),
        ("version = 1.0\nanswer = []", "version"),
        ("[plans.default]\nquestions = 3", "plans"),
        ("answer = " + "[" * 5000, "recursion"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(RunFolderError, match=told):
        read_policy(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["answer = []\nserverr = {}", "version = 2", "answer = []\nplans = {}", "[server]\nprt = 1", "x = " + "[" * 5000],
)
def test_the_gateway_refuses_unknown_keys(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(StudyError, match="policy"):
        read_gateway_policy(tmp_path / "policy.toml")
