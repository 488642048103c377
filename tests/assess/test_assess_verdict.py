"""The family, what withholds a verdict, and records that are exposed: on tables of signals with known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.assess import AttackRequest, assess
from memberwise.assess.contradiction import Accuracies, contradiction_notes
from memberwise.assess.notes import WITHHOLDING
from memberwise.attacks import ATTACKS
from memberwise.attacks.request import FAMILY, LABEL_ONLY, family_of
from memberwise.errors import StudyError
from memberwise.seeds import Seeds
from memberwise.signals.table import Answers, Signals
from memberwise.study.reading import make_study

VOID = ("target-contradicts", "the target contradicts itself")


def answers(phi: Any) -> Answers:
    phi = phi[..., None]
    log_p = -np.logaddexp(0, -phi)
    return Answers(log_p.astype(np.float32), (log_p - phi).astype(np.float32), phi > 0)


def table(
    seed: int = 0, records: int = 600, models: int = 16, gap: float = 0.0, target_gap: Any = None
) -> tuple[Signals, Any]:
    """phi ~ N(level + gap where trained on, 1), the target's with a gap of its own; and who the members are."""
    rng = np.random.default_rng(seed)
    member = rng.permutation(records) < records // 2
    first = rng.random((models // 2, records)).argsort(1) < records // 2
    trained_on = np.stack([first, ~first], 1).reshape(models, records).astype(np.int8)
    level = rng.normal(size=records)
    own = gap if target_gap is None else target_gap
    target = answers(level + own * member[None] + rng.normal(size=(1, records)))
    shadows = answers(level + gap * (trained_on == 1) + rng.normal(size=trained_on.shape))
    return Signals(np.arange(records), np.zeros(records, np.int64), target, shadows, trained_on), member


def assessed(
    signals: Any,
    member: Any,
    *rules: Any,
    use: tuple[str, str, str] = ("loss", "lira-online-shrunk", "gap"),
    **attacks: Any,
) -> Any:
    values = {"attacks": {"use": list(use)} | attacks, "statistics": {"fpr": [0.1]}, "gate": {"rules": list(rules)}}
    study = make_study(values, "the test")
    return assess(signals, member, study, AttackRequest.of(study), Seeds(0), ["0"])


def test_the_family_is_named_before_the_run() -> None:
    assert set(FAMILY) | set(LABEL_ONLY) <= set(ATTACKS)
    default = [name for name, attack in ATTACKS.items() if attack.default]
    assert set(family_of(default, "learned", "logits")) == set(FAMILY)
    assert family_of(["gap", "loss", "lira-online-shrunk"], "gap", "logits") == ["gap", "lira-online-shrunk"]
    assert family_of(["gap", "label-only-noise"], "gap", "labels") == ["gap", "label-only-noise"]
    assert family_of(["gap", "label-only-noise"], "gap", "logits") == ["gap"]
    assert family_of(["gap", "lira-online-fixed"], "lira-online-fixed", "logits") == ["gap", "lira-online-fixed"]
    assert family_of(["loss", "attack-p"], "loss", "logits") == ["loss", "attack-p"]


@pytest.mark.slow
def test_a_gate_on_a_headline_that_is_weak_fails_by_its_family() -> None:
    """The loss attack sees little of what LiRA sees: levels of records differ."""
    signals, member = table(gap=1.2)
    found = assessed(signals, member, "auc>0.7", headline="loss")
    verdict, family = found.gate.judge(found.notes)
    assert found.headline == "loss"
    assert (verdict.passed, verdict.exit_code) == (False, 1)
    assert family.decision == "failed"
    assert set(family.names) == {"loss", "lira-online-shrunk", "gap"}
    assert [one.attack for one in verdict.rules[0].broken_by] == ["lira-online-shrunk"]
    assert [one.attack for one in family.stronger] == ["lira-online-shrunk"]
    assert [row.attack for row in family.adjusted] == list(family.names)
    alone = assessed(signals, member, "loss:auc>0.9", headline="loss")
    assert alone.gate.judge(alone.notes)[0].passed is True


@pytest.mark.slow
def test_voiding_warnings_withhold_a_pass_but_no_failure() -> None:
    assert {"mismatch-strong", "target-contradicts"} <= WITHHOLDING
    signals, member = table(gap=1.2)
    kept = assessed(signals, member, "auc>0.95").gate
    assert kept.judge([])[0].exit_code == 0
    assert kept.judge([("few-nonmembers", "some")])[0].exit_code == 0
    verdict, family = kept.judge([VOID])
    assert (verdict.passed, verdict.exit_code, verdict.withheld) == (None, 3, ("target-contradicts",))
    assert "the target contradicts itself" in verdict.reason
    assert family.decision == "inconclusive"
    assert verdict.rules[0].passed is None, "so that no test case of a CI server passes"
    assert assessed(signals, member, "auc>0.7").gate.judge([VOID])[0].exit_code == 1
    mixed = assessed(signals, member, "auc>0.7", "auc>0.95").gate.judge([VOID])[0]
    assert [rule.passed for rule in mixed.rules] == [False, None]
    nothing = assessed(signals, member).gate.judge([VOID])[0]
    assert (nothing.gate, nothing.exit_code) == (None, 0)


@pytest.mark.slow
def test_attacks_surely_worse_than_guessing_pass_nothing() -> None:
    signals, member = table(gap=1.2)
    verdict, _ = assessed(signals, ~member, "auc>0.9").gate.judge([])
    assert (verdict.passed, verdict.withheld) == (None, ("worse-than-guessing",))
    assert "surely worse than guessing" in verdict.reason
    named, _ = assessed(signals, ~member, "lira-online-shrunk:auc>0.9").gate.judge([])
    assert named.passed is None


@pytest.mark.slow
def test_stronger_attacks_are_rare_where_nothing_leaks() -> None:
    said = 0
    for seed in range(20):
        found = assessed(*table(seed, records=200, models=8), use=("loss", "lira-online-fixed", "lira-offline", "gap"))  # type: ignore[arg-type]
        said += bool(found.gate.judge([])[1].stronger)
    assert said <= 3


def test_precision_rule_at_members_share_is_refused_at_once() -> None:
    study = make_study({"gate": {"rules": ["precision>0.5"]}}, "the test")
    with pytest.raises(StudyError, match="at or below what guessing gives"):
        AttackRequest.of(study).check_share(np.arange(100) < 50)
    AttackRequest.of(study).check_share(np.arange(100) < 49)


def test_answers_of_labels_are_met_by_attacks_that_read_labels() -> None:
    values = {"answer": [{"name": "label-only"}], "gate": {"rules": ["auc>0.6"]}}
    names = {attack.name for attack in AttackRequest.of(make_study(values, "the test")).attacks}
    assert set(LABEL_ONLY) <= names
    for without in ({"answer": values["answer"]}, {"gate": values["gate"]}):
        assert not set(LABEL_ONLY) & {a.name for a in AttackRequest.of(make_study(without, "the test")).attacks}


def accuracies(**changes: Any) -> Accuracies:
    usual = {"train": 0.95, "n_train": 1000, "test": 0.9, "n_test": 1000, "classes": 10, "stored": None}
    return Accuracies(**(usual | {"shadows": np.full(8, 0.95)} | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"train": 0.88, "n_train": 300, "n_test": 300}, None),  # chance explains it
        ({"train": 0.80}, "on 90.0% of rows it never saw"),
        ({"stored": 0.953}, None),
        ({"stored": 0.99}, "with the model 99.0% was stored"),
        ({"train": 0.82, "test": 0.8}, None),
        ({"train": 0.6, "test": 0.6}, "its shadow models, trained by the stated recipe, on 95.0%"),
        ({"train": 0.6, "test": 0.6, "shadows": np.empty(0)}, None),
        ({"train": 0.02, "test": 0.02, "shadows": np.empty(0)}, "less than guessing one of 10 classes"),
    ],
)
def test_a_target_that_contradicts_itself_is_told(changes: Any, words: str | None) -> None:
    notes = contradiction_notes(accuracies(**changes))
    assert len(notes) == (words is not None)
    if words:
        [(code, message)] = notes
        assert code in WITHHOLDING
        assert words in message


def test_chance_alone_rarely_contradicts() -> None:
    rng, said = np.random.default_rng(0), 0
    for _ in range(2000):
        train, test = rng.binomial(200, 0.9, 2) / 200
        said += bool(contradiction_notes(accuracies(train=train, n_train=200, test=test, n_test=200)))
    assert said <= 4
