import pytest

from memberwise.report import sentence


def _rates(audit, **changes):
    row = next(row for row in sentence.attack_named(audit.result)["tpr_at_fpr"] if row["fpr"] == 0.01)
    row |= changes
    return sentence.attack_sentence(audit.result)


def test_the_headline_sentence_gives_rate_figure_and_interval(audit):
    said = _rates(audit, value=0.123, low=0.101, high=0.148)
    assert said == (
        "If 1% of outsiders may be wrongly accused, the attack lira-online-fixed recognises 12.3% "
        "(95% interval 10.1\u201314.8%) of the training records; guessing would reach 1%."
    )


def test_an_interval_that_holds_the_rate_is_called_guessing(audit):
    assert "cannot be told apart from guessing, which reaches 1%" in _rates(audit, value=0.02, low=0.01, high=0.04)
    assert "cannot be told apart" not in _rates(audit, value=0.02, low=0.0101, high=0.04)


@pytest.mark.parametrize(
    ("marks", "fpr"),
    [("yes yes yes", 0.001), ("yes yes weak", 0.01), ("weak weak no", 0.01), ("no no no", 0.1), ("yes weak no", 0.1)],
)
def test_the_smallest_rate_that_is_resolved_is_spoken_of(audit, marks, fpr):
    rows = sentence.attack_named(audit.result)["tpr_at_fpr"]
    for row, mark in zip(rows, marks.split(), strict=True):
        row["resolvable"] = mark
    assert sentence.leading_rate(sentence.attack_named(audit.result))["fpr"] == fpr


def test_without_any_rate_the_auc_is_spoken_of(bare):
    sentence.attack_named(bare.result)["tpr_at_fpr"] = []
    said = sentence.attack_sentence(bare.result)
    assert "ranks the training record higher" in said
    assert "no interval" in said


def test_an_attack_that_only_decides_says_so(bare):
    bare.result["headline"] = "gap"
    assert sentence.attack_sentence(bare.result) == "The attack gap gave neither a TPR nor an AUC."
    assert [key.label for key in sentence.key_figures(bare.result)] == ["Balanced accuracy", "Precision"]


def test_a_headline_that_was_skipped_gives_the_reason(bare):
    bare.result["headline"] = "lira-online-fixed"
    said = sentence.attack_sentence(bare.result)
    assert said == (
        "The headline attack, lira-online-fixed, was not run: needs shadow models, and there are none."
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gate", "passed", "outcome", "words"),
    [
        ("auc>0.6", True, "passed", "is kept (auc>0.6): because."),
        ("auc>0.6", False, "failed", "is exceeded (auc>0.6): because."),
        ("auc>0.6", None, "inconclusive", "cannot decide whether the stated limit is kept (auc>0.6): because."),
        (None, None, "no limit set", "nothing to pass or fail"),
    ],
)
def test_every_verdict_has_its_sentence(audit, gate, passed, outcome, words):
    audit.result["verdict"] = {"gate": gate, "passed": passed, "reason": "because."}
    assert sentence.outcome(audit.result) == outcome
    assert words in sentence.gate_sentence(audit.result)
    assert sentence.verdict_sentence(audit.result).endswith(sentence.gate_sentence(audit.result))


def test_key_figures_carry_their_interval_and_meaning(audit):
    keys = sentence.key_figures(audit.result)
    assert [key.label for key in keys] == ["TPR at 1% FPR", "AUC", "Balanced accuracy", "Precision"]
    assert all(key.figure.interval != "no interval" and key.meaning for key in keys)
    assert "50.0% of those asked about are" in keys[3].meaning


def test_every_word_of_need_is_explained(audit):
    audit.result["attacks"][7]["needs"] = [
        "logits (full vector)",
        "true label",
        "shadow models (OUT)",
        "a crystal ball",
    ]
    assert sentence.assumptions(audit.result) == [
        "sees the model's logits for a record, for every class",
        "knows the true label of a record",
        "can train 64 models like the target, without the record in question",
        "a crystal ball",
    ]


def test_every_need_an_attack_can_state_is_known():
    from memberwise.attacks.attack import LEVELS, Needs

    for level in LEVELS:
        for shadows in ("none", "out", "in+out"):
            words = Needs(answers=level, shadows=shadows, population=True, vectors=True).words()
            result = {"headline": "a", "attacks": [{"name": "a", "needs": words}], "shadow": {"count": 8}}
            assert not set(sentence.assumptions(result)) & set(words)


def test_limits_and_epsilon_speak_of_what_is_not_shown(audit):
    assert any("do not speak about retraining" in limit for limit in sentence.limits(audit.result))
    assert "no statement about the training algorithm" in sentence.epsilon_sentence(audit.result)
    audit.result["epsilon"] = None
    assert sentence.epsilon_sentence(audit.result).startswith("No bound")


@pytest.mark.parametrize(
    ("basis", "words"),
    [("records of one run (descriptive)", "no limit may be set on it"), ("one-run coins", "does not keep its promise")],
)
def test_epsilon_never_stands_without_its_basis(audit, basis, words):
    audit.result["epsilon"]["basis"] = basis
    said = sentence.epsilon_sentence(audit.result)
    assert "1.37 at 95% confidence" in said
    assert basis in said
    assert words in said
