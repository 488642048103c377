"""Membership leakage as a test of one's own suite: an assertion, and a fixture that comes with ``pytest``.

from memberwise.testing import assert_leakage_below

def test_release_keeps_to_the_limit():
assert_leakage_below("tpr@0.01>0.05", "auc>0.65", model=make_model, data=(x, y))
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from memberwise.errors import StudyError
from memberwise.report import lead
from memberwise.report.result import Result
from memberwise.testing import WEAKER

WITH_SCORES = ("tpr", "auc")


def assert_leakage_below(
    *rules: str,
    result: Result | str | Path | None = None,
    allow_inconclusive: bool = False,
    **audit: Any,
) -> Result:
    """Assert that an audit shows every rule to be kept; what it asks is what ``--fail-if`` asks.

    A finished result is judged by the attacks that ran. Without a rule no cascade did, which ``--fail-if`` has run:
    where a limit of the family is kept so, a warning says that an audit with the rule might not keep it.

    Args:
        rules: such as ``"tpr@0.01>0.05"``: what breaks the limit.
        result: a finished audit, or its run folder, which is judged by the rules anew; else one is carried out.
        allow_inconclusive: pass, too, where the records cannot tell. By default they must be able to.
        audit: arguments of :func:`memberwise.audit`.

    Returns:
        The result, for further assertions.

    Raises:
        AssertionError: a rule is broken, or undecided; the message is the report's first sentences.
        StudyError: no rule is given, or one that a finished result cannot be judged by.

    Examples:
        >>> from memberwise.testing import assert_leakage_below
        >>> result = assert_leakage_below("auc>0.9", result="runs/patients")
        >>> result.auc().value < 0.9
        True
    """
    if not rules:
        raise StudyError("no limit is given", expected='a rule such as "tpr@0.01>0.05"', where="assert_leakage_below")
    if result is None:
        from memberwise.api import audit as carried_out

        audited = carried_out(**audit, fail_if=list(rules))
        passed, reason = audited.passed, audited.parts.verdict.reason
    elif audit:
        raise StudyError("a finished result is not audited again", found=", ".join(audit), where="assert_leakage_below")
    else:
        audited = result if isinstance(result, Result) else Result.load(result)
        passed, reason = judged_anew(audited, rules)
        if passed and lacks_cascade(audited, rules):
            message = f"{WEAKER}, and a cascade, which --fail-if has run, was not among them: audit with the rule"
            warnings.warn(message, stacklevel=2)
    if passed or (passed is None and allow_inconclusive):
        return audited
    state = "exceeded" if passed is False else "not shown to be kept"
    raise AssertionError(f"the limit ({'; '.join(rules)}) is {state}: {reason}\n{lead.lead(audited.parts)}")


def lacks_cascade(result: Result, rules: tuple[str, ...]) -> bool:
    """Some rule is about the family, which a cascade would have joined had it been there before the audit."""
    from memberwise.attacks.cascade import ATTACK, FIRST
    from memberwise.statistics import parse_rule

    parts = result.parts
    names = parts.family.names if parts.family else ()
    begun = FIRST.name in names and ATTACK.name not in names
    trained = parts.shadow is not None and parts.shadow.data == "halves"
    return begun and trained and any(parse_rule(rule).attack is None for rule in rules)


def judged_anew(result: Result, rules: tuple[str, ...]) -> tuple[bool | None, str]:
    """What rules say of a finished result, by its scores: kept, broken or undecided, and why.

    Raises:
        StudyError: a rule is about more than an attack's TPR or AUC, or about an attack that did not run.
    """
    from memberwise.assess.notes import WITHHOLDING, upside_down
    from memberwise.statistics import Measured, judge, parse_rule, verdict_of

    parts, read = result.parts, [parse_rule(rule) for rule in rules]
    for rule in read:
        known = rule.attack is None or parts.attack(rule.attack) is not None
        if rule.metric not in WITH_SCORES or not known:
            raise StudyError(
                f"a finished result cannot be judged by {rule.text}",
                expected=f"{' or '.join(WITH_SCORES)} of the family or of an attack that ran",
                fix="audit again with this rule",
            )
    kept = result.scores[result.scores["evaluated"] == 1]
    member = kept["member"].to_numpy() == 1
    measured = {one.name: Measured(kept[one.name].to_numpy(float), member) for one in parts.attacks}
    family = parts.family.names if parts.family else (parts.headline,)
    confidence = (parts.study.get("statistics") or {}).get("confidence") or 0.95
    verdict = verdict_of(judge(read, measured, family, confidence))
    voided = [warning.message for warning in parts.warnings if warning.code in WITHHOLDING]
    swapped = set(upside_down(parts.attacks))
    for rule in read:
        names = set(family if rule.attack is None else (rule.attack,))
        if names <= swapped or parts.headline in names & swapped:
            worse = ", ".join(sorted(names & swapped))
            voided.append(f"{worse}: surely worse than guessing, as if members were the non-members")
    if verdict.passed and voided:
        return None, f"{verdict.reason} But nothing passes here: {'; '.join(voided)}."
    return verdict.passed, verdict.reason
