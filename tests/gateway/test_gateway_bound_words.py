"""What ``memberwise policy check`` says of answers with a bound, and of policies that only seem to have one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.defences.bounded.pac import balanced_success
from memberwise.defences.bounded.spending import Bound
from memberwise.defences.bounded.words import bound_sentences, other_game
from memberwise.gateway.bound_words import (
    Released,
    as_questions,
    bound_after,
    mechanism_in,
    questions_in_all,
    read_released,
)
from memberwise.gateway.costs import AttackCost, judge
from memberwise.gateway.explain import explain, find_dangers
from memberwise.gateway.policy import Policy, parse_policy
from memberwise.study.schema import OutputDefenceConfig

PAC = {"name": "pac", "budget_nats": 0.5, "per_question": 2.0**-10, "share": 0.75}
CONFIG = OutputDefenceConfig.model_validate(PAC)
ENSEMBLE = Released((CONFIG,), 32)

TEACHERS = Released((OutputDefenceConfig.model_validate({"name": "pate", "epsilon": 8.0}),), 25)


def policy(**tables: Any) -> Policy:
    return parse_policy(tables, "the test")


def said(given: Policy, released: Released | None = ENSEMBLE) -> str:
    return "\n".join(explain(given, [], released))


def bound_of_questions(questions: int) -> Bound:
    mechanism = mechanism_in(policy(answer=[PAC]))
    assert mechanism is not None
    return bound_after(mechanism, questions)


def test_a_policy_says_what_is_bounded_and_what_not() -> None:
    for text in (said(policy()), said(policy(answer=[PAC]))):
        assert "512 questions, by the budget with which the ensemble was released" in text
        assert bound_sentences(bound_of_questions(512)) in text
        assert other_game("i") in text
    assert "game" not in said(policy(answer=[{"name": "label-only"}]), None)


def test_the_smallest_budget_says_what_is_bounded() -> None:
    given = policy(budget={"total_nats": 0.1}, plans={"default": {"nats": 0.01}})
    text = said(given)
    assert bound_sentences(bound_of_questions(102)) in text
    assert "0.0997 nats" in text
    assert "Plan default: 0.01 nats are 10 questions of one client" in text
    assert "They bound nothing about this client alone" in text


def test_a_plans_epsilon_is_said_with_its_game() -> None:
    text = said(policy(plans={"default": {"epsilon": 2.0}}), TEACHERS)
    assert "Plan default: epsilon 2.0 at delta 1e-05 (game ii) is" in text


def test_the_bound_of_all_questions_is_the_mechanisms() -> None:
    mechanism = mechanism_in(policy(answer=[PAC]))
    assert mechanism is not None
    assert questions_in_all(policy(answer=[PAC]), mechanism) == 512
    bound = bound_after(mechanism, 512)
    assert (bound.game, bound.nats, bound.questions) == ("i", 0.5, 512)
    assert bound.success == balanced_success(0.5, 0.75)


def test_budgets_of_nats_stop_attacks_as_questions_do() -> None:
    given = policy(answer=[PAC], plans={"default": {"nats": 20 * 2.0**-10}})
    cost = AttackCost("mine", 40, "labels", least=40)
    assert judge(given, [cost])[0].state == "possible"
    assert judge(as_questions(given, mechanism_in(given)), [cost])[0].state == "stopped"


@pytest.mark.parametrize(
    ("tables", "released", "told"),
    [
        ({"answer": [PAC, {"name": "label-only"}]}, ENSEMBLE, "does not stand alone"),
        ({"answer": [{"name": "rounding"}, PAC]}, ENSEMBLE, "does not stand alone"),
        ({"answer": [PAC], "model": {"file": "m.onnx"}}, None, "one model is behind it"),
        (
            {"answer": [PAC], "upstream": {"url": "http://127.0.0.1:9", "classes": ["a", "b"], "shape": [2]}},
            None,
            "one model is behind it",
        ),
        ({"answer": [PAC]}, Released((), None), "one model is behind it"),
        ({"answer": [{"name": "rounding"}]}, ENSEMBLE, "ensemble of 32 and no output defence with a bound"),
        ({}, Released((), 8), "ensemble of 8 and no output defence with a bound"),
        ({"plans": {"default": {"nats": 1.0}}, "answer": [{"name": "rounding"}]}, None, "plans.default.nats"),
        ({"budget": {"total_epsilon": 1.0}}, ENSEMBLE, "budget.total_epsilon"),
        ({"plans": {"default": {"nats": 1e-6}}}, ENSEMBLE, "plans.default grants less than one question"),
        ({"budget": {"total_nats": 1e-6}}, ENSEMBLE, "budget grants less than one question"),
        ({"budget": {"total_nats": 0.7}}, ENSEMBLE, "above the budget with which the ensemble was released"),
        ({"budget": {"total_epsilon": 9.0}}, TEACHERS, "above the budget with which the ensemble was released"),
    ],
)
def test_what_is_not_bounded_as_it_seems_is_told(tables: dict[str, Any], released: Any, told: str) -> None:
    assert told in find_dangers(policy(**tables), released)[0]


def test_a_bounded_policy_needs_no_further_total() -> None:
    dangers = find_dangers(policy(plans={"default": {"questions": None}}), ENSEMBLE)
    assert not any("total" in danger or "questions" in danger for danger in dangers), dangers


def test_a_client_that_can_use_up_all_is_told() -> None:
    for nats, told in ((0.5, True), (0.25, False)):
        dangers = find_dangers(policy(plans={"default": {"nats": nats}}), ENSEMBLE)
        assert any("one client can use up" in danger for danger in dangers) == told


@pytest.mark.parametrize("target", ["run/target", "run"])
def test_a_folders_facts_are_read_or_none(tmp_path: Path, target: str) -> None:
    folder = tmp_path / target
    folder.mkdir(parents=True)
    assert read_released(policy(model={"file": "run"}), tmp_path) is None
    for content in ("", "[]", '{"answer": 3}', '{"answer": [{}]}'):
        (folder / "metadata.json").write_text(content)
        assert read_released(policy(model={"file": "run"}), tmp_path) is None
    (folder / "metadata.json").write_text(json.dumps({"answer": [PAC], "worlds": 32}))
    assert read_released(policy(model={"file": "run"}), tmp_path) == ENSEMBLE


def test_policy_check_reads_the_folder_beside_it(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "metadata.json").write_text(json.dumps({"answer": [PAC], "worlds": 32}))
    (tmp_path / "policy.toml").write_text("[budget]\ntotal_epsilon = 1.0\n")
    result = CliRunner().invoke(app, ["policy", "check", str(tmp_path / "policy.toml")])
    assert result.exit_code == 0
    assert other_game("i") in result.stdout
    assert "budget.total_epsilon" in result.stderr
