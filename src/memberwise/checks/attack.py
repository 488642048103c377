"""Does an attack keep to its contract?"""

from __future__ import annotations

import copy
from typing import Any, get_args, get_type_hints

import numpy as np
from scipy.stats import spearmanr

from memberwise.attacks import ATTACKS
from memberwise.attacks.base import LEVELS, Attack, Needs
from memberwise.attacks.own import check_own
from memberwise.attacks.registry import is_built_in
from memberwise.checks.report import Findings, shown
from memberwise.checks.tables import RECORDS, leaking_table, reordered, same_table
from memberwise.errors import StudyError
from memberwise.signals.collectors.registry import EXTRAS
from memberwise.signals.table import Signals
from memberwise.statistics.auc import auc
from memberwise.types.arrays import Floats, Mask

NULL_TABLES = 12
SAME_RANKS = 0.7
SHADOWS = ("none", "out", "in+out")
THRESHOLDS = ("chosen", "search")
TAKES = "score(signals, rng) is a function of the table and of random numbers; see memberwise.signals.table.Signals"


def check_attack(attack: Attack, seed: int = 0) -> None:
    """Try an attack on small tables of signals with known truth.

    Checked: that what it says of its needs and threshold exists; the shape and type of its scores; that the same
    random numbers give the same scores; that the table is left as it was; that scores follow the records when these
    change places; that on records which carry nothing it does no better than guessing (12 tables); that where
    membership shows plainly its scores are higher for members. An error that the attack raises is a finding too.

    Raises:
        CheckError: with everything that was found wrong.

    Examples:
        >>> import memberwise as mw
        >>> from memberwise.attacks import Attack, Needs
        >>> def surer(signals, rng):
        ...     return signals.target.log_p[0, :, 0].astype(float)
        >>> mw.check_attack(Attack("surer", surer, Needs(), source="mine", summary="The log-probability of the class."))
    """
    _check_type(attack)
    findings = Findings(f"the attack {attack.name}")
    _check_stated(attack, findings)
    signals, member = leaking_table(np.random.default_rng(seed), leak=2.0)
    reason = attack.needs.missing(signals)
    if reason is not None:
        findings.add("a run on a table with logits, features, shadow models in pairs and a population", reason)
        findings.close()
    before = copy.deepcopy(signals)
    scores = _scores(attack, signals, seed, findings)
    if np.isnan(scores).all():
        findings.add("some record is scored", "NaN for all")
        findings.close()
    if not same_table(before, signals):
        findings.add("the table of signals is left as it was", "arrays changed in place", "work on copies")
    again = _scores(attack, signals, seed, findings)
    if not np.array_equal(scores, again, equal_nan=True):
        findings.add("the same random numbers give the same scores", "other scores")
    plain = _auc(scores, member)
    if plain < 0.5:
        findings.add("higher scores mean members", f"AUC {plain:.3f} where members are far more confident")
    _check_places(attack, signals, scores, seed, findings)
    _check_null(attack, seed, findings)
    findings.close()


def _check_type(attack: object) -> None:
    if isinstance(attack, Attack):
        return
    findings = Findings(f"what was given, {shown(attack)},")
    fix = "memberwise.attacks.base.Attack(name, score, needs=Needs(...), source=..., summary=...)"
    if isinstance(attack, str) and attack in ATTACKS:
        fix = f'give the attack itself: memberwise.attacks.ATTACKS["{attack}"]'
    findings.add("an Attack", shown(attack), fix)
    findings.close()


def _check_stated(attack: Attack, findings: Findings) -> None:
    """The needs and the threshold are among those there are."""
    needs: Any = attack.needs
    if not isinstance(needs, Needs):
        findings.add("needs is an instance of Needs", shown(needs), "needs=Needs(...)")
        findings.close()
    score: object = attack.score
    if not callable(score):
        findings.add("score is a function", shown(score), TAKES)
    stated = [("needs.answers", needs.answers, LEVELS), ("needs.shadows", needs.shadows, SHADOWS)]
    if isinstance(needs.extra, str):
        stated.append(("needs.extra", needs.extra, tuple(EXTRAS)))
    stated.append(("threshold_from", attack.threshold_from, get_args(get_type_hints(Attack)["threshold_from"])))
    if isinstance(attack.threshold, bool) or not isinstance(attack.threshold, int | float):
        stated.append(("threshold, where it is no number,", attack.threshold, THRESHOLDS))
    for name, value, known in stated:
        if value not in known:
            findings.add(f"{name} is one of {', '.join(known)}", repr(value))
    findings.close()
    try:
        check_own(attack, attack.name, () if is_built_in(attack) else ATTACKS)
    except StudyError as error:
        findings.add(f"an audit takes it (expected {error.expected})", error.found or error.problem, error.fix)
        findings.close()


def _scores(attack: Attack, signals: Signals, seed: int | list[int], findings: Findings) -> Floats:
    """The attack's scores, one float a record."""
    with findings.part("score(signals, rng) runs", TAKES):
        answer: object = attack.score(signals, np.random.default_rng(seed))
        scores = np.asarray(answer)
    if scores.shape != (RECORDS,) or scores.dtype.kind != "f":
        description = shown(answer) if scores.dtype.kind == "O" else f"{scores.dtype} {scores.shape}"
        findings.add(f"scores are floats of shape ({RECORDS},), one a record", description)
        findings.close()
    return scores


def _check_places(attack: Attack, signals: Signals, scores: Floats, seed: int, findings: Findings) -> None:
    order = np.random.default_rng(seed + 1).permutation(RECORDS)
    moved = _scores(attack, reordered(signals, order), seed, findings)
    usual = scores[order]
    scored = ~np.isnan(moved) & ~np.isnan(usual)
    if scored.any() and np.array_equal(moved[scored], usual[scored]):
        return
    # What is trained on random draws of the records need not give the very same scores.
    correlation = float(spearmanr(moved[scored], usual[scored]).statistic) if scored.sum() > 1 else float("nan")
    if not correlation > SAME_RANKS:
        findings.add("scores follow the records when these change places", f"a rank correlation of {correlation:.2f}")


def _check_null(attack: Attack, seed: int, findings: Findings) -> None:
    aucs = []
    for k in range(NULL_TABLES):
        table, truth = leaking_table(np.random.default_rng([seed, k]), leak=0.0)
        aucs.append(_auc(_scores(attack, table, [seed, k], findings), truth))
    # Under the null an AUC has a standard deviation of about 1 / sqrt(3 n) for n records, half of them members.
    limit = 4 / np.sqrt(3 * RECORDS * NULL_TABLES)
    if abs(float(np.mean(aucs)) - 0.5) > limit:
        findings.add(
            f"an AUC of 0.5 (within {limit:.3f}) over {NULL_TABLES} tables that carry nothing",
            f"{np.mean(aucs):.3f}: it learns who is a member from how the shadow models were chosen",
        )


def _auc(scores: Floats, member: Mask) -> float:
    scored = ~np.isnan(scores)
    # Records of one side alone tell nothing.
    if not (scored & member).any() or not (scored & ~member).any():
        return 0.5
    value = auc(scores[scored], member[scored], 0.95).value
    return 0.5 if value is None else float(value)
