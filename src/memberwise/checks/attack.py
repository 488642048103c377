"""Does an attack keep to its contract?"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from memberwise.attacks.attack import Attack
from memberwise.checks.report import Findings
from memberwise.signals.read import read_answers
from memberwise.signals.table import Answers, Signals
from memberwise.statistics.auc import auc

RECORDS, MODELS, CLASSES, POPULATION = 300, 12, 4, 200
NULL_TABLES = 12
SAME_RANKS = 0.7


def check_attack(attack: Attack, seed: int = 0) -> None:
    """Try an attack on small tables of signals with known truth.

    Checked: the shape and type of its scores; that the same random numbers give the same scores; that the table is
    left as it was; that scores follow the records when these change places; that on records which carry nothing it
    does no better than guessing (12 tables); that where membership shows plainly its scores are higher for members.

    Raises:
        CheckError: with everything that was found wrong.
    """
    findings = Findings(f"the attack {attack.name}")
    signals, member = leaking_table(np.random.default_rng(seed), leak=2.0)
    reason = attack.needs.missing(signals)
    if reason is not None:
        findings.add("a run on a table with logits, features, shadow models in pairs and a population", reason)
        findings.close()
    before = copy.deepcopy(signals)
    scores = np.asarray(attack.score(signals, np.random.default_rng(seed)))
    if scores.shape != (RECORDS,) or scores.dtype.kind != "f":
        findings.add(f"scores are floats of shape ({RECORDS},), one a record", f"{scores.dtype} {scores.shape}")
        findings.close()
    if np.isnan(scores).all():
        findings.add("some record is scored", "NaN for all")
        findings.close()
    if not same_table(before, signals):
        findings.add("the table of signals is left as it was", "arrays changed in place")
    again = attack.score(signals, np.random.default_rng(seed))
    if not np.array_equal(scores, again, equal_nan=True):
        findings.add("the same random numbers give the same scores", "other scores")
    plain = _auc(scores, member)
    if plain < 0.5:
        findings.add("higher scores mean members", f"AUC {plain:.3f} where members are far more confident")
    _check_places(attack, signals, scores, seed, findings)
    _check_null(attack, seed, findings)
    findings.close()


def _check_places(attack: Attack, signals: Signals, scores: NDArray[np.float64], seed: int, findings: Findings) -> None:
    order = np.random.default_rng(seed + 1).permutation(RECORDS)
    moved = np.asarray(attack.score(reordered(signals, order), np.random.default_rng(seed)))
    usual = scores[order]
    scored = ~np.isnan(moved) & ~np.isnan(usual)
    if np.array_equal(moved[scored], usual[scored]):
        return
    # What is trained on random draws of the records need not give the very same scores.
    correlation = float(spearmanr(moved[scored], usual[scored]).statistic)
    if not correlation > SAME_RANKS:
        findings.add("scores follow the records when these change places", f"a rank correlation of {correlation:.2f}")


def _check_null(attack: Attack, seed: int, findings: Findings) -> None:
    found = []
    for k in range(NULL_TABLES):
        table, truth = leaking_table(np.random.default_rng([seed, k]), leak=0.0)
        found.append(_auc(np.asarray(attack.score(table, np.random.default_rng([seed, k]))), truth))
    # Under the null an AUC has a standard deviation of about 1 / sqrt(3 n) for n records, half of them members.
    limit = 4 / np.sqrt(3 * RECORDS * NULL_TABLES)
    if abs(float(np.mean(found)) - 0.5) > limit:
        findings.add(
            f"an AUC of 0.5 (within {limit:.3f}) over {NULL_TABLES} tables that carry nothing",
            f"{np.mean(found):.3f}: it learns who is a member from how the shadow models were chosen",
        )


def _auc(scores: NDArray[np.float64], member: NDArray[np.bool_]) -> float:
    scored = ~np.isnan(scores)
    value = auc(scores[scored], member[scored], 0.95).value
    return 0.5 if value is None else float(value)


def leaking_table(rng: np.random.Generator, leak: float) -> tuple[Signals, NDArray[np.bool_]]:
    """A table with everything an attack may need, and who the members are.

    ``leak`` raises the true class's logit where a model trained on the record. Shadow models come in pairs.
    """
    labels = rng.integers(0, CLASSES, RECORDS)
    member = rng.permutation(RECORDS) < RECORDS // 2
    halves = rng.random((MODELS // 2, RECORDS)).argsort(1) < RECORDS // 2
    trained_on = np.stack([halves, ~halves], 1).reshape(MODELS, RECORDS)
    centre = rng.normal(size=(RECORDS, CLASSES))
    outside = rng.normal(size=(POPULATION, CLASSES))
    outside_labels = rng.integers(0, CLASSES, POPULATION)

    def logits(inside: NDArray[np.bool_], centres: NDArray[np.float64], own: NDArray[np.int64]) -> NDArray[np.float64]:
        z = centres + rng.normal(size=(len(inside), *centres.shape))
        z[:, np.arange(len(own)), own] += 1.0 + leak * inside
        return np.asarray(z[:, :, None, :])

    def nowhere(models: int) -> NDArray[np.bool_]:
        return np.zeros((models, POPULATION), bool)

    signals = Signals(
        index=np.arange(RECORDS),
        labels=labels,
        target=read_answers(logits(member[None], centre, labels), labels, "logits"),
        shadows=read_answers(logits(trained_on, centre, labels), labels, "logits"),
        trained_on=trained_on.astype(np.int8),
        population_target=read_answers(logits(nowhere(1), outside, outside_labels), outside_labels, "logits"),
        population_shadows=read_answers(logits(nowhere(MODELS), outside, outside_labels), outside_labels, "logits"),
        population_labels=outside_labels,
        features=np.concatenate([centre, outside]).astype(np.float32),
        population_index=np.arange(RECORDS, RECORDS + POPULATION),
    )
    return signals, member


def reordered(signals: Signals, order: NDArray[np.intp]) -> Signals:
    """The table with its records in another order."""

    def turned(answers: Answers) -> Answers:
        vectors = None if answers.vectors is None else answers.vectors[:, order]
        arrays = {name: getattr(answers, name)[:, order] for name in ("log_p", "log_1mp", "correct")}
        return replace(answers, **arrays, vectors=vectors)

    shadows = None if signals.shadows is None else turned(signals.shadows)
    return replace(
        signals,
        index=signals.index[order],
        labels=signals.labels[order],
        target=turned(signals.target),
        shadows=shadows,
        trained_on=signals.trained_on[:, order],
    )


def same_table(one: Signals, other: Signals) -> bool:
    """Both tables hold the same numbers."""
    pairs = [(one.target, other.target), (one.shadows, other.shadows), (one.population_target, other.population_target)]
    for a, b in pairs:
        if a is None or b is None:
            continue
        for name in ("log_p", "log_1mp", "correct", "vectors"):
            x, y = getattr(a, name), getattr(b, name)
            if x is not None and not np.array_equal(x, y, equal_nan=True):
                return False
    return np.array_equal(one.trained_on, other.trained_on) and np.array_equal(one.labels, other.labels)
