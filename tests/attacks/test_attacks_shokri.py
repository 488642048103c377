"""Shokri's attack learns what there is to learn, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import full_table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from memberwise.attacks import shokri


def auc(signals: Any, member: Any, score: Any = shokri.ATTACK.score, seed: int = 0) -> Any:
    return roc_auc_score(member, score(signals, np.random.default_rng(seed)))


def test_separates_separable_answers() -> None:
    signals, member = full_table(np.random.default_rng(1), 600, leak=12.0)
    assert auc(signals, member) > 0.99


def test_finds_a_pattern_that_no_single_signal_shows() -> None:
    """Membership moves probability between two wrong classes; log p_y knows nothing of it."""
    signals, member = full_table(np.random.default_rng(2), 600)

    def mark(answers: Any, inside: Any) -> Any:
        vectors = answers.vectors.copy()
        wrong = (signals.labels + 1) % 4
        np.put_along_axis(vectors, np.broadcast_to(wrong, inside.shape)[..., None], inside[..., None] * 3.0, -1)
        return replace(answers, vectors=vectors)

    signals = replace(
        signals, target=mark(signals.target, member[None]), shadows=mark(signals.shadows, signals.trained_on[:6])
    )
    assert auc(signals, member) > 0.9


def test_largest_answer_alone_keeps_most_of_the_signal() -> None:
    """Zeros elsewhere must not drown the largest probability: here it is all that tells members."""
    rng = np.random.default_rng(8)
    signals, member = full_table(rng, 600, classes=10)

    def top_one(answers: Any, inside: Any) -> Any:
        top = np.clip(rng.normal(0.7 + 0.1 * inside, 0.1), 0.35, 0.999)
        vectors = np.zeros_like(answers.vectors)
        wrong = rng.random(inside.shape) < 0.3
        place = np.where(wrong, rng.integers(0, 10, inside.shape), signals.labels)[..., None]
        np.put_along_axis(vectors, place, top[..., None].astype(vectors.dtype), -1)
        return replace(answers, vectors=vectors, kind="scores")

    target = top_one(signals.target, member[None])
    signals = replace(signals, target=target, shadows=top_one(signals.shadows, signals.trained_on[:6]))
    best = roc_auc_score(member, target.vectors[0].max(-1))
    assert auc(signals, member) > best - 0.1  # of log-probabilities alone 0.53 is left


@pytest.mark.slow
def test_shuffled_membership_gives_chance() -> None:
    """Five tables of 600 records: the mean AUC has a standard deviation of 0.011."""
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        signals, member = full_table(rng, 600, leak=3.0)
        shuffled = rng.permuted(signals.trained_on, axis=1)
        found.append(auc(replace(signals, trained_on=shuffled), rng.permutation(member)))
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)


def recording(seen: Any) -> Any:
    """A factory of logistic regressions that notes what each was trained on."""

    class Recorded(LogisticRegression):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Any:
            seen.append((x.shape, y.mean()))
            return super().fit(x, y)

    return lambda seed: Recorded()


def test_sparse_classes_share_a_classifier_with_class_input() -> None:
    """Class 0 has 150 records; the 15 others have 10 each, so at most 60 rows from six models."""
    signals, _ = full_table(np.random.default_rng(3), 300, classes=16)
    labels = np.where(np.arange(300) < 150, 0, 1 + np.arange(300) % 15)
    seen = []  # type: ignore[var-annotated]
    scores = shokri.with_classifier(recording(seen))(replace(signals, labels=labels), np.random.default_rng(0))
    assert np.isfinite(scores).all()
    (own, _), (shared, balance) = seen
    assert own[1] == 2 * 16
    assert shared[1] == 2 * 16 + 15
    assert shared[0] <= 15 * 60
    assert balance == 0.5


def test_any_classifier_is_accepted_and_rows_are_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shokri, "MOST_ROWS", 300)
    signals, member = full_table(np.random.default_rng(4), 600, leak=3.0)
    trained_on = np.where(np.random.default_rng(5).random(signals.trained_on.shape) < 0.3, -1, signals.trained_on)
    signals = replace(signals, trained_on=trained_on.astype(np.int8))
    seen = []  # type: ignore[var-annotated]
    assert auc(signals, member, shokri.with_classifier(recording(seen))) > 0.8
    assert seen == [((300, 2 * 4), 0.5)] * 4


def test_rows_are_never_those_marked_unused() -> None:
    trained_on = np.array([[1, 0, -1, 1], [0, -1, 1, -1]], np.int8)
    rows = shokri.balanced_rows(trained_on, np.array([True, True, True, False]), 100, np.random.default_rng(0))
    assert sorted(map(tuple, rows)) == [(0, 0), (0, 1), (1, 0), (1, 2)]


def test_same_generator_repeats_and_another_seed_differs() -> None:
    signals, _ = full_table(np.random.default_rng(6), 200, leak=1.0)
    first, again, other = (shokri.ATTACK.score(signals, np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_scores_are_probabilities() -> None:
    signals, _ = full_table(np.random.default_rng(7), 200, leak=1.0)
    scores = shokri.ATTACK.score(signals, np.random.default_rng(0))
    assert scores.min() >= 0
    assert scores.max() <= 1
