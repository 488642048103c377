from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plain_results import attack_of

from memberwise.report import lead, sentence
from memberwise.report.sections.accusations import carried_sentence
from memberwise.statistics import Estimate
from memberwise.statistics.carried import CarriedThreshold


@pytest.mark.parametrize(
    ("marks", "fpr"),
    [("yes yes yes", 0.001), ("yes yes weak", 0.01), ("weak weak no", 0.01), ("no no no", 0.1), ("yes weak no", 0.1)],
)
def test_the_smallest_rate_that_is_resolved_is_spoken_of(audit: Any, marks: str, fpr: float) -> None:
    rows = attack_of(audit.result)["tpr_at_fpr"]
    for row, mark in zip(rows, marks.split(), strict=True):
        row["resolvable"] = mark
    assert sentence.leading_rate(audit.parts.attack()).fpr == fpr  # type: ignore[union-attr]


def test_without_a_decision_there_are_fewer_key_figures(bare: Any) -> None:
    bare.result["headline"] = "gap"
    assert [key.label for key in sentence.key_figures(bare.parts)] == ["Balanced accuracy", "Precision"]


@pytest.mark.parametrize(
    ("gate", "passed", "outcome", "words"),
    [
        ("auc>0.6", True, "passed", "is kept (auc>0.6): because."),
        ("auc>0.6", False, "failed", "is exceeded (auc>0.6): because."),
        ("auc>0.6", None, "inconclusive", "cannot decide whether the stated limit is kept (auc>0.6): because."),
        (None, None, "no limit set", "nothing to pass or fail"),
    ],
)
def test_every_verdict_has_its_sentence(
    audit: Any, gate: str | None, passed: bool | None, outcome: str, words: str
) -> None:
    audit.result["verdict"] = {"gate": gate, "passed": passed, "reason": "because."}
    assert sentence.outcome(audit.parts) == outcome
    assert words in sentence.gate_sentence(audit.parts)
    assert lead.verdict_sentence(audit.parts).endswith(sentence.gate_sentence(audit.parts))


def test_a_verdict_that_is_withheld_is_no_matter_of_more_records(audit: Any) -> None:
    verdict = {"gate": "auc>0.6", "passed": None, "reason": "it contradicts itself", "withheld": ["target-contradicts"]}
    audit.result["verdict"] = verdict
    said = sentence.gate_sentence(audit.parts)
    assert said.startswith("No verdict is given on the stated limit (auc>0.6): it contradicts itself")


def test_intervals_rest_on_the_records_that_were_evaluated(audit: Any) -> None:
    audit.result["study"]["data"]["unit"] = "patient"
    for attack in audit.result["attacks"]:
        attack["auc"] |= {"n_members": 700, "n_nonmembers": 400}
    told = sentence.limits(audit.parts)[1]
    assert told.startswith("They rest on 700 members and 400 non-members: one row of each patient")
    assert "1,500 members and 1,500 non-members audited" in told
    assert sentence.member_share(audit.parts) == "63.6%"
    del audit.result["study"]["data"]["unit"]
    assert "that the headline attack could score" in sentence.limits(audit.parts)[1]


def test_key_figures_carry_their_interval_and_meaning(audit: Any) -> None:
    keys = sentence.key_figures(audit.parts)
    assert [key.label for key in keys] == ["TPR at 1% FPR", "AUC", "Balanced accuracy", "Precision"]
    assert all(key.figure.interval != "no interval" and key.meaning for key in keys)
    assert "50.0% of those asked about are" in keys[3].meaning


def test_every_word_of_need_is_explained(audit: Any) -> None:
    audit.result["attacks"][7]["needs"] = [
        "logits (full vector)",
        "true label",
        "shadow models (OUT)",
        "a crystal ball",
    ]
    assert sentence.assumptions(audit.parts) == [
        "sees the model's logits for a record, for every class",
        "knows the true label of a record",
        "can train 64 models like the target, without the record in question",
        "a crystal ball",
    ]


def test_every_need_an_attack_can_state_is_known(audit: Any) -> None:
    from memberwise.attacks.base import LEVELS, Needs

    for level in LEVELS:
        for shadows in ("none", "out", "in+out"):
            words = Needs(answers=level, shadows=shadows, population=True, vectors=True).words()  # type: ignore[arg-type]
            audit.result["headline"], audit.result["attacks"][0] = "a", audit.result["attacks"][0] | {"name": "a"}
            audit.result["attacks"][0]["needs"] = words
            assert not set(sentence.assumptions(audit.parts)) & set(words)


def test_limits_and_epsilon_speak_of_what_is_not_shown(audit: Any) -> None:
    assert any("do not speak about retraining" in limit for limit in sentence.limits(audit.parts))
    assert "no statement about the training algorithm" in sentence.epsilon_sentence(audit.parts)
    audit.result["epsilon"] = None
    assert sentence.epsilon_sentence(audit.parts).startswith("No lower bound on epsilon was measured")


@pytest.mark.parametrize(
    ("basis", "words"),
    [("records of one run (descriptive)", "no limit may be set on it"), ("one-run coins", "does not keep its promise")],
)
def test_epsilon_never_stands_without_its_basis(audit: Any, basis: str, words: str) -> None:
    audit.result["epsilon"]["basis"] = basis
    said = sentence.epsilon_sentence(audit.parts)
    assert "1.37 at 95% confidence" in said
    assert basis in said
    assert words in said


def test_a_rate_that_does_not_hold_is_told_by_what_is_off() -> None:
    off, reaching = Estimate(0.0, 0.0, 0.05, 71, 71, "exact"), Estimate(0.0, 0.0, 0.101, 0, 35, "exact")
    row = CarriedThreshold(0.1, 0.0, off, off, holds=False, population_fpr=reaching)
    said = "The rate does not hold here: aimed at 10%, 0.0% (interval 0.0–5.0%) on the target's non-members."  # noqa: RUF001
    assert carried_sentence([row], "interval") == said
    assert "5.0%) on population records" in str(carried_sentence([replace(row, population_fpr=off)], "interval"))
    assert carried_sentence([replace(row, holds=True)], "interval") is None
