"""What a policy grants, stops and risks, against arithmetic done by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memberwise.attacks import ATTACKS
from memberwise.errors import StudyError
from memberwise.gateway.explain import AttackCost, Verdict, attack_costs, explain, find_dangers, gives_labels, judge
from memberwise.gateway.policy import Policy, parse_policy

COSTS = attack_costs()
SAFE: dict[str, Any] = {
    "answer": [{"name": "rounding"}],
    "plans": {
        "default": {"questions": 100, "ladder": [{"above": 0, "tier": "vector"}, {"above": 0.5, "tier": "label"}]}
    },
    "budget": {"total": 10_000},
}


def policy(**tables: Any) -> Policy:
    return parse_policy(tables, "the test")


def plan(**keys: Any) -> dict[str, Any]:
    return {"default": keys}


def ladder(*steps: tuple[float, str]) -> list[dict[str, Any]]:
    return [{"above": above, "tier": tier} for above, tier in steps]


def verdict(document: Policy, name: str) -> Verdict:
    return next(one for one in judge(document, COSTS) if one.attack.name == name)


def test_every_attack_has_its_cost() -> None:
    assert [cost.name for cost in COSTS] == list(ATTACKS)
    known = {cost.name: (cost.questions, cost.once, cost.answers) for cost in COSTS}
    assert known["gap"] == (1, 0, "labels")
    assert known["lira-online"] == (1, 0, "scores")
    assert known["shokri"] == (1, 0, "vectors")
    assert known["top-one"] == (1, 0, "logits")
    assert known["ml-leaks-3"] == (1, 1000, "vectors")
    assert known["label-only-augment"] == (18, 0, "labels")
    assert known["label-only-noise"] == (100, 0, "labels")
    assert known["label-only-boundary"] == (1000, 0, "labels")
    assert known["gradient-norm"] == (1, 0, "weights")


def test_a_score_attack_reaches_as_many_records_as_scores() -> None:
    document = policy(**SAFE)
    assert (verdict(document, "loss").state, verdict(document, "loss").records) == ("possible", 50)
    assert verdict(document, "gap").records == 100
    assert verdict(document, "label-only-augment").records == 5
    assert verdict(document, "label-only-augment").everyone == 555


def test_labels_stop_score_attacks_alone() -> None:
    for document in (policy(plans=plan(ladder=ladder((0, "label")))), policy(budget={"ladder": ladder((0, "label"))})):
        assert verdict(document, "lira-offline").state == "stopped"
        assert verdict(document, "gap").state == "possible"
    assert gives_labels(policy(answer=[{"name": "rounding"}, {"name": "label-only"}]))
    assert not gives_labels(policy(answer=[{"name": "rounding"}]))


def test_three_entries_weaken_attacks_on_vectors() -> None:
    document = policy(plans=plan(ladder=ladder((0, "top-3"))))
    assert verdict(document, "shokri").state == "weaker"
    assert verdict(document, "loss").state == "possible"


def test_too_few_questions_stop_one_client_not_many() -> None:
    boundary = verdict(policy(plans=plan(questions=99)), "label-only-boundary")
    assert (boundary.state, boundary.records, boundary.everyone) == ("stopped", 0, None)
    every = verdict(policy(budget={"total": 99}), "label-only-boundary")
    assert (every.state, every.everyone) == ("stopped", 0)
    cut = verdict(policy(plans=plan(questions=150)), "label-only-boundary")
    assert (cut.state, cut.records) == ("weaker", 1)


def test_a_neighbourhood_stops_a_search_not_a_single_look() -> None:
    tight = policy(budget={"neighbourhood": {"questions": 5}})
    assert verdict(tight, "label-only-boundary").state == "stopped"
    assert verdict(tight, "loss").state == "possible"
    assert verdict(policy(budget={"neighbourhood": {"questions": 50}}), "label-only-boundary").state == "weaker"
    assert verdict(policy(budget={"neighbourhood": {"questions": 100}}), "label-only-boundary").state == "possible"


def test_logits_are_told_by_an_upstream_alone() -> None:
    upstream = {"url": "http://127.0.0.1", "classes": ["a", "b"], "shape": [2]}
    assert verdict(policy(), "top-one").state == "stopped"
    assert verdict(policy(upstream=upstream), "top-one").state == "possible"
    assert verdict(policy(upstream={**upstream, "answers": "probabilities"}), "top-one").state == "stopped"


@given(st.integers(1, 3000), st.integers(1, 300), st.integers(1, 3000))
def test_a_smaller_budget_never_allows_more(questions: int, near: int, total: int) -> None:
    def verdicts(shrink: int) -> list[Verdict]:
        document = policy(
            plans=plan(questions=max(1, questions // shrink)),
            budget={"total": max(1, total // shrink), "neighbourhood": {"questions": max(1, near // shrink)}},
        )
        return judge(document, COSTS)

    order = ["stopped", "weaker", "possible"]
    for small, large in zip(verdicts(3), verdicts(1), strict=True):
        assert order.index(small.state) <= order.index(large.state)
        assert (small.state == "stopped") <= (small.records == 0)


def test_sentences_say_what_is_not_stopped() -> None:
    text = "\n".join(explain(policy(**SAFE), COSTS))
    assert "100 questions in its lifetime, at most 600/minute" in text
    assert "whole vectors, from 0.5 of it on labels alone" in text
    assert "10,000 distinct records" in text
    line = next(line for line in text.splitlines() if line.startswith("NOT stopped by any budget: loss"))
    assert "lira-online" in line
    assert "50 records" in line
    for name in ATTACKS:
        assert name in text


def test_every_plan_is_explained() -> None:
    both = explain(policy(plans={"default": {}, "gold": {"questions": 5}}), COSTS)
    assert sum(line.startswith("Under plan gold: ") for line in both) > 2
    assert sum(line.startswith("Plan ") for line in both) == 2


def test_an_unknown_defence_is_refused() -> None:
    for answer in ([{"name": "roundng"}], [{"name": "mine.py:Own"}, {"name": "rounding", "digit": 3}]):
        with pytest.raises(StudyError):
            explain(policy(answer=answer), COSTS)


def test_a_careful_policy_has_no_dangers() -> None:
    assert list(find_dangers(policy(**SAFE))) == []


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"access": {"anonymous": True}, "budget": {}}, "access.anonymous without budget.total"),
        ({"budget": {"total": 10, "neighbourhood": {"questions": None}}}, "budget.neighbourhood has no limit"),
        ({"answer": [{"name": "gaussian-noise", "keyed": False}]}, "keyed = false"),
        ({"server": {"host": "0.0.0.0"}}, "without TLS"),
        ({"server": {"host": "::"}}, "without TLS"),
        ({"answer": []}, "No output defence"),
        ({"plans": plan(questions=10)}, "No ladder"),
        ({"plans": {**SAFE["plans"], "x": {"questions": None}}}, "plans.x.questions"),
        ({"plans": {**SAFE["plans"], "x": {"rates": []}}}, "plans.x.rates"),
        ({"budget": {}}, "budget.total is not set"),
        ({"store": {"url": "postgresql://a:b@c/d"}}, "store.url holds a password"),
        ({"store": {"url": "postgresql://c/d?password=b"}}, "store.url holds a password"),
        ({"upstream": {"url": "http://10.0.0.1", "classes": ["a"], "shape": [1]}}, "upstream.url is http"),
        ({"access": {"jwt": {"issuer": "i", "audience": "a", "jwks": "http://idp/keys"}}}, "jwks is http"),
        ({"answer": [{"name": "mine.py:Own"}]}, "mine.py is code of your own"),
    ],
)
def test_each_danger_is_told_alone(tables: dict[str, Any], told: str) -> None:
    dangers = list(find_dangers(policy(**SAFE | tables)))
    assert len(dangers) == 1, dangers
    assert told in dangers[0]
    assert "a:b" not in dangers[0]


@pytest.mark.parametrize(
    "tables",
    [
        {"server": {"host": "0.0.0.0", "certificate": "c.pem", "private_key": "k.pem"}},
        {"server": {"host": "10.0.0.1", "trusted_proxies": ["10.0.0.2"]}},
        {"server": {"host": "::1"}},
        {"upstream": {"url": "http://localhost:9000", "classes": ["a"], "shape": [1]}},
        {"plans": plan(questions=10, ladder=ladder((0, "label"))), "answer": []},
        {"access": {"anonymous": True}},
    ],
)
def test_what_is_safe_is_no_danger(tables: dict[str, Any]) -> None:
    assert list(find_dangers(policy(**SAFE | tables))) == []


def test_a_run_folders_own_defences_are_no_danger() -> None:
    released = {key: value for key, value in SAFE.items() if key != "answer"}
    assert list(find_dangers(policy(**released))) == []
    assert "No output defence" in next(iter(find_dangers(policy(**released, model={"file": "m.onnx"}))))


def test_an_attack_of_another_cost_is_judged_alike() -> None:
    cost = AttackCost("mine", 40, "labels", least=40)
    assert judge(policy(plans=plan(questions=39)), [cost])[0].state == "stopped"
    assert judge(policy(plans=plan(questions=80)), [cost])[0].records == 2
