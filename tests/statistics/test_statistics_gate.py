"""The gate's grammar, the limits that make no sense, and verdicts on a family of attacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.errors import StudyError
from memberwise.statistics import (
    GateRule,
    Measured,
    Threshold,
    auc,
    check_precision,
    clopper_pearson_lower,
    clopper_pearson_upper,
    judge,
    parse_rule,
    tpr_at_fpr,
    verdict_of,
)
from memberwise.statistics.epsilon import DESCRIPTIVE, EpsilonBound

MEMBER = np.arange(900) < 500


def attack(shift: float = 0.0, seed: int = 0, threshold: Any = None, member: Any = MEMBER) -> Any:
    rng = np.random.default_rng(seed)
    return Measured(rng.normal(size=len(member)) + shift * member, member, threshold)


def judged(text: str, attacks: Any, family: Any = None, confidence: float = 0.95, epsilon: Any = None) -> Any:
    return judge([parse_rule(text)], attacks, family or list(attacks), confidence, epsilon)[0]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("tpr@0.01>0.05", (None, "tpr", 0.01, ">", 0.05)),
        ("lira-online-fixed:tpr@1e-3>=.1", ("lira-online-fixed", "tpr", 0.001, ">=", 0.1)),
        ("  ml-leaks-1 : auc >= 0.6 ", ("ml-leaks-1", "auc", None, ">=", 0.6)),
        ("advantage>0.1", (None, "advantage", None, ">", 0.1)),
        ("balanced_accuracy > 0.55", (None, "balanced_accuracy", None, ">", 0.55)),
        ("precision>=1", (None, "precision", None, ">=", 1.0)),
        ("recall>0", (None, "recall", None, ">", 0.0)),
        ("tpr @ 0.1 > 0.2", (None, "tpr", 0.1, ">", 0.2)),
    ],
)
def test_rules_are_read(text: str, rule: Any) -> None:
    assert parse_rule(text) == GateRule(*rule, text=text.strip())  # type: ignore[misc]


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
def test_malformed_rules_teach_the_grammar(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        parse_rule(text)
    assert "[ATTACK:]METRIC>LIMIT" in str(caught.value)
    assert '"tpr@0.01>0.05"' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("tpr@0.05>0.01", "0.05"),
        ("tpr@0.05>0.05", "0.05"),
        ("tpr@0.05>=0.05", "0.05"),
        ("learned:tpr@1e-2>0.002", "0.01"),
        ("auc>0.5", "0.5"),
        ("auc>=0.5", "0.5"),
        ("loss:auc>0.3", "0.5"),
        ("balanced_accuracy>0.5", "0.5"),
        ("balanced_accuracy>=.25", "0.5"),
        ("advantage>0", "0"),
        ("advantage>=0", "0"),
        ("advantage>-0.1", "0"),
        ("epsilon>=0", "0"),
    ],
)
def test_limits_that_guessing_reaches_are_refused(text: str, level: str) -> None:
    with pytest.raises(StudyError, match="at or below what guessing gives") as caught:
        parse_rule(text)
    assert f"guessing gives {level}" in str(caught.value)
    assert "tells nothing" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["tpr@0.05>0.0501", "auc>0.51", "auc>=0.5001", "advantage>0.001", "epsilon>0"])
def test_limits_above_guessing_are_taken(text: str) -> None:
    assert parse_rule(text).text == text


def test_precision_limit_must_exceed_the_members_share() -> None:
    for text in ("precision>0.5", "learned:precision>=0.2"):
        with pytest.raises(StudyError, match="at or below what guessing gives") as caught:
            check_precision([parse_rule(text)], 300, 300)
        assert "300 of 600" in str(caught.value)
    check_precision([parse_rule("precision>0.51"), parse_rule("auc>0.6")], 300, 300)
    check_precision([parse_rule("precision>0.2")], 100, 900)


def test_one_attack_is_judged_at_one_sided_bounds() -> None:
    one = attack(0.5)
    low, high = (getattr(auc(one.scores, MEMBER, 0.9), end) for end in ("low", "high"))
    above, below = judged(f"auc>{low - 1e-6:.9f}", {"loss": one}), judged(f"auc>{high + 1e-6:.9f}", {"loss": one})
    assert (above.passed, below.passed) == (False, True)
    assert judged(f"auc>{low + 1e-6:.9f}", {"loss": one}).passed is None
    assert judged(f"auc>{high - 1e-6:.9f}", {"loss": one}).passed is None
    for words in ("500 members", "400 non-members", f"{low:.6f}"):
        assert words in above.reason
    assert f"{high:.6f}" in below.reason


def test_exact_limit_is_kept_by_one_sign_and_broken_by_other() -> None:
    threshold = Threshold(0.5, "fixed")
    one = Measured(np.where(np.arange(900) < 250, 1.0, 0.0), MEMBER, threshold)
    low, high = float(clopper_pearson_lower(250, 500, 0.05)), float(clopper_pearson_upper(250, 500, 0.05))
    outcomes = [judged(f"recall{sign}{end!r}", {"gap": one}).passed for end in (low, high) for sign in (">", ">=")]
    assert outcomes == [None, False, True, None]


def test_family_shares_the_level_for_failing_not_passing() -> None:
    attacks = {name: attack(0.4, seed) for seed, name in enumerate(["a", "b", "c", "d"])}
    lows = {name: auc(one.scores, MEMBER, 1 - 2 * 0.05 / 4).low for name, one in attacks.items()}
    highs = [auc(one.scores, MEMBER, 0.9).high for one in attacks.values()]
    most = max(lows.values())  # type: ignore[type-var]
    assert judged(f"auc>{most - 1e-6:.9f}", attacks).passed is False  # type: ignore[operator]
    assert judged(f"auc>{most + 1e-6:.9f}", attacks).passed is None  # type: ignore[operator]
    assert judged(f"auc>{max(highs) + 1e-6:.9f}", attacks).passed is True  # type: ignore[operator, type-var]
    assert judged(f"auc>{max(highs) - 1e-6:.9f}", attacks).passed is None  # type: ignore[operator, type-var]
    [broken] = judged(f"auc>{most - 1e-6:.9f}", attacks).summary().broken_by  # type: ignore[operator]
    assert (broken.attack, broken.metric) == (max(lows, key=lambda name: lows[name]), "auc")  # type: ignore[arg-type, return-value]
    assert broken.low == pytest.approx(most)


def test_a_rule_is_about_the_family_unless_it_names_an_attack() -> None:
    attacks = {"learned": attack(0.0), "lira-online-shrunk": attack(1.5, 1), "loss": attack(2.5, 2)}
    family = ["learned", "lira-online-shrunk", "base"]
    assert judged("auc>0.7", attacks, family).passed is False
    assert "lira-online-shrunk" in judged("auc>0.7", attacks, family).reason
    assert judged("learned:auc>0.7", attacks, family).passed is True
    assert judged("loss:auc>0.9", attacks, family).passed is False
    assert judged("auc>0.92", attacks, family).passed is True, "loss is not of the family"
    alone = judged("learned:auc>0.55", attacks, family)
    assert [figure.attack for figure in alone.figures] == ["learned"]
    assert alone.figures[0].low_error == pytest.approx(0.05)
    assert judged("auc>0.55", attacks, family).figures[0].low_error == pytest.approx(0.025)


@pytest.mark.parametrize(("nonmembers", "passed"), [(1000, False), (900, None), (100, None)])
def test_a_rate_that_the_records_cannot_resolve_is_inconclusive(nonmembers: int, passed: bool | None) -> None:
    member = np.arange(1000 + nonmembers) < 1000
    one = judged("tpr@0.01>0.05", {"loss": attack(3.0, member=member)})
    assert one.passed is passed
    assert ("at least 1000 non-members" in one.reason) == (passed is None)


def test_a_rate_that_was_not_reported_is_judged_all_the_same() -> None:
    one = attack(1.0)
    figure = judged("tpr@0.03>0.9", {"loss": one}).figures[0]
    assert figure.value == tpr_at_fpr(one.scores, MEMBER, 0.03).value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("quantile:auc>0.6", "skipped or not run"),
        ("precision>0.6", "nobody was called a member"),
        ("bare:recall>0.6", "without an interval"),
    ],
)
def test_what_was_not_measured_is_inconclusive(text: str, why: str) -> None:
    attacks = {"loss": attack(0.3), "bare": attack(0.3, threshold=Threshold(0.0, "audited (optimistic)"))}
    one = judged(text, attacks, ["loss"])
    assert one.passed is None
    assert verdict_of([one]).exit_code == 3
    assert why in one.reason


def test_an_empty_family_passes_nothing() -> None:
    assert judged("auc>0.9", {}, ["learned"]).passed is None


def test_scores_that_are_missing_are_left_out() -> None:
    one = attack(0.8)
    holes = Measured(one.scores.copy(), MEMBER, Threshold(0.0, "half", np.arange(900) % 2 == 0))
    holes.scores[::7] = np.nan
    kept = ~np.isnan(holes.scores)
    figure = judged("auc>0.9", {"loss": holes}).figures[0]
    assert figure.value == auc(holes.scores[kept], MEMBER[kept]).value
    half = kept & holes.threshold.evaluated  # type: ignore[union-attr]
    figure = judged("recall>0.99", {"loss": holes}).figures[0]
    assert figure.value == pytest.approx((holes.scores[half & MEMBER] > 0).mean())


def test_one_failed_rule_fails_and_one_doubt_is_a_doubt() -> None:
    attacks = {"loss": attack(0.5)}
    kept, open_, broken = (parse_rule(text) for text in ("auc>0.9", "auc>0.63", "auc>0.51"))
    assert verdict_of(judge([kept, open_, broken], attacks, ["loss"])).passed is False
    assert verdict_of(judge([kept, open_], attacks, ["loss"])).passed is None
    verdict = verdict_of(judge([kept, kept], attacks, ["loss"]))
    assert (verdict.gate, verdict.passed) == ("auc>0.9; auc>0.9", True)
    assert [rule.passed for rule in verdict.rules] == [True, True]


def bound(value: Any, basis: str = "one-run coins") -> EpsilonBound:
    return EpsilonBound(value, 0.95, 1e-5, "m", basis)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("epsilon", "passed"),
    [(bound(1.2), False), (bound(1.0, "many runs"), None), (bound(9.0, DESCRIPTIVE), None), (None, None)],
)
def test_a_lower_bound_on_epsilon_can_only_fail(epsilon: Any, passed: bool | None) -> None:
    one = judged("epsilon>1", {}, epsilon=epsilon)
    assert one.passed is passed
    assert ("1.2" in one.reason) == (passed is False)
    assert judged("epsilon>=1", {}, epsilon=bound(1.0)).passed is False


def test_without_rules_nothing_is_judged() -> None:
    verdict = verdict_of(judge([], {"loss": attack()}, ["loss"]))
    assert (verdict.gate, verdict.passed, verdict.exit_code) == (None, None, 0)


@pytest.mark.parametrize(
    ("rule", "figure", "said", "limit"),
    [
        ("tpr@0.05>0.1", 0.16290001, "16.3%", "the limit of 10%"),
        ("tpr@0.05>0.1", 0.10004, "10.004%", "the limit of 10%"),
        ("tpr@0.05>0.1", 0.1, "10.0%", "the limit of 10%"),
        ("tpr@0.001>0.005", 0.00432, "0.43%", "the limit of 0.5%"),
        ("auc>0.6", 0.66801, "0.668", "the limit of 0.6"),
        ("exposed(0.9)>0.01", 0.0132, "1.3%", "the limit of 1%"),
        ("advantage>0.1", -0.05, "-0.050", "the limit of 0.1"),
    ],
)
def test_figures_and_limits_are_told_in_one_unit(rule: str, figure: float, said: str, limit: str) -> None:
    parsed = parse_rule(rule)
    assert (parsed.said(figure), parsed.limit_said) == (said, limit)
