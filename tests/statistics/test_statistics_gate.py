"""The gate's grammar and its verdicts."""

from __future__ import annotations

import pytest

from memberwise.errors import StudyError
from memberwise.statistics import GateRule, judge, parse_rule
from memberwise.statistics.epsilon import DESCRIPTIVE


def figure(low, high, **more):
    value = 0.5 if low is None else (low + high) / 2
    return {"value": value, "low": low, "high": high, "n_members": 500, "n_nonmembers": 400, "method": "m", **more}


def attack(name="loss", **figures):
    empty = dict.fromkeys(("auc", "balanced_accuracy", "advantage", "precision", "recall"))
    return {"name": name, **empty, "tpr_at_fpr": [], **figures}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("tpr@0.01>0.05", (None, "tpr", 0.01, ">", 0.05)),
        ("lira-online-fixed:tpr@1e-3>=.1", ("lira-online-fixed", "tpr", 0.001, ">=", 0.1)),
        ("  ml-leaks-1 : auc >= 0.6 ", ("ml-leaks-1", "auc", None, ">=", 0.6)),
        ("advantage>-0.1", (None, "advantage", None, ">", -0.1)),
        ("balanced_accuracy > 0.55", (None, "balanced_accuracy", None, ">", 0.55)),
        ("precision>=1", (None, "precision", None, ">=", 1.0)),
        ("recall>0", (None, "recall", None, ">", 0.0)),
        ("tpr @ 0.1 > 0.2", (None, "tpr", 0.1, ">", 0.2)),
    ],
)
def test_rules_are_read(text, rule):
    assert parse_rule(text) == GateRule(*rule, text=text.strip())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpr>0.05", "needs a false-positive rate"),
        ("auc@0.1>0.6", "takes no @"),
        ("tpr@0>0.05", r"not in \(0, 1\)"),
        ("tpr@1>0.05", r"not in \(0, 1\)"),
        ("tpr@-0.1>0.05", r"not in \(0, 1\)"),
        ("auc>1", "can never be crossed"),
        ("auc>1.5", "can never be crossed"),
        ("auc>-0.5", "always is"),
        ("advantage>-1.5", "always is"),
        ("tpr@0.01>1e999", "can never be crossed"),
        ("auc<0.6", "cannot be read"),
        ("auc=0.6", "cannot be read"),
        ("auc>0.6>0.7", "cannot be read"),
        ("auc>nan", "cannot be read"),
        ("tpr@1%>5%", "cannot be read"),
        ("auc", "cannot be read"),
        ("", "cannot be read"),
        (":auc>0.6", "cannot be read"),
        ("accuracy>0.6", "unknown metric, accuracy"),
        ("loss:epsilon > 1", "not of loss alone"),
        ("epsilon@0.1>1", "takes no @"),
        ("epsilon>-1", "always is"),
    ],
)
def test_malformed_rules_teach_the_grammar(text, message):
    with pytest.raises(StudyError, match=message) as caught:
        parse_rule(text)
    assert "[ATTACK:]METRIC>LIMIT" in str(caught.value)
    assert '"tpr@0.01>0.05"' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "low", "high", "passed"),
    [
        ("auc>0.6", 0.61, 0.7, False),
        ("auc>0.6", 0.6, 0.7, None),
        ("auc>0.6", 0.55, 0.61, None),
        ("auc>0.6", 0.5, 0.6, True),
        ("auc>=0.6", 0.6, 0.7, False),
        ("auc>=0.6", 0.59, 0.7, None),
        ("auc>=0.6", 0.5, 0.6, None),
        ("auc>=0.6", 0.5, 0.59, True),
    ],
)
def test_the_whole_interval_decides(text, low, high, passed):
    verdict = judge([parse_rule(text)], [attack(auc=figure(low, high))], "loss")
    assert verdict.passed is passed
    assert verdict.gate == text
    assert verdict.exit_code == {False: 1, True: 0, None: 3}[passed]
    for number in ("0.6", f"{low:.4g}", f"{high:.4g}", "500 members", "400 non-members"):
        assert number in verdict.reason


@pytest.mark.parametrize(("resolvable", "passed"), [("yes", False), ("weak", None), ("no", None)])
def test_tpr_that_the_records_cannot_resolve_is_inconclusive(resolvable, passed):
    figures = [figure(0.9, 1.0, fpr=0.1, resolvable="yes"), figure(0.2, 0.4, fpr=0.01, resolvable=resolvable)]
    verdict = judge([parse_rule("tpr@0.01>0.05")], [attack(tpr_at_fpr=figures)], "loss")
    assert verdict.passed is passed
    assert ("at least 1000 non-members" in verdict.reason) == (passed is None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("quantile:auc>0.6", "skipped or not run"),
        ("tpr@0.03>0.1", "add the rate to --fpr"),
        ("precision>0.6", "nobody was called a member"),
        ("recall>0.6", "without an interval"),
    ],
)
def test_what_was_not_measured_is_inconclusive(text, why):
    attacks = [attack(auc=figure(0.5, 0.6), recall=figure(None, None))]
    verdict = judge([parse_rule(text)], attacks, "loss")
    assert verdict.passed is None
    assert verdict.exit_code == 3
    assert why in verdict.reason


def test_a_rule_is_about_the_headline_unless_it_names_an_attack():
    attacks = [attack("loss", auc=figure(0.5, 0.55)), attack("rmia-online", auc=figure(0.7, 0.8))]
    assert judge([parse_rule("auc>0.6")], attacks, "loss").passed is True
    assert judge([parse_rule("auc>0.6")], attacks, "rmia-online").passed is False
    assert judge([parse_rule("rmia-online:auc>0.6")], attacks, "loss").passed is False


def test_of_several_rules_one_failure_fails_and_one_doubt_is_a_doubt():
    attacks = [attack(auc=figure(0.5, 0.6), advantage=figure(0.1, 0.3))]
    kept, broken, open_ = parse_rule("auc>0.6"), parse_rule("advantage>0.05"), parse_rule("advantage>0.2")
    assert judge([kept, open_, broken], attacks, "loss").passed is False
    assert judge([kept, open_], attacks, "loss").passed is None
    verdict = judge([kept, kept], attacks, "loss")
    assert verdict.to_dict() == {"gate": "auc>0.6; auc>0.6", "passed": True, "reason": verdict.reason}


def bound(value, basis="one-run coins"):
    return {"value": value, "confidence": 0.95, "delta": 1e-5, "method": "m", "basis": basis}


@pytest.mark.parametrize(
    ("epsilon", "passed"),
    [(bound(1.2), False), (bound(1.0, "many runs"), None), (bound(9.0, DESCRIPTIVE), None), (None, None)],
)
def test_a_lower_bound_on_epsilon_can_only_fail(epsilon, passed):
    verdict = judge([parse_rule("epsilon>1")], [], "loss", epsilon)
    assert verdict.passed is passed
    assert ("1.2" in verdict.reason) == (passed is False)
    assert judge([parse_rule("epsilon>=1")], [], "loss", bound(1.0)).passed is False


def test_without_rules_nothing_is_judged():
    verdict = judge([], [attack()], "loss")
    assert (verdict.gate, verdict.passed, verdict.exit_code) == (None, None, 0)
