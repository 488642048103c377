"""Signals of one answer and their thresholds, against scalar arithmetic and brute force."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from attack_tables import full_table, gaussian_table, of_records, table
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS, classwise, thresholds
from memberwise.signals.read import read_answers

RNG = np.random.default_rng(0)


def scalar_mentr(p: Any, y: Any, floor: float = 1e-30) -> Any:
    def log(value: Any) -> Any:
        return math.log(max(value, floor))

    rest = sum(p[j] for j in range(len(p)) if j != y)
    total = rest * log(p[y])
    for j, pj in enumerate(p):
        if j != y:
            total += pj * log(sum(pk for k, pk in enumerate(p) if k != j))
    return total


def test_mentr_equals_a_scalar_reference_on_1000_vectors() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.full(6, 0.3), 1000).astype(np.float32).astype(float)
    p[:50] = np.eye(6)[rng.integers(0, 6, 50)]
    labels = rng.integers(0, 6, 1000)
    answers = read_answers(p[None, :, None], labels, "probabilities")
    assert {0.0, 1.0} <= set(p[np.arange(1000), labels])
    expected = [scalar_mentr(p[i], labels[i]) for i in range(1000)]
    np.testing.assert_allclose(thresholds.mentr(answers, labels)[0], expected, rtol=2e-5, atol=1e-15)


@pytest.mark.parametrize("spread", [1.0, 10.0, 60.0])
def test_logit_signals_keep_digits_where_one_class_dominates(spread: float) -> None:
    """Against 80 digits of decimal arithmetic; 1 - p computed as such would be 0 here."""
    rng = np.random.default_rng(2)
    logits = (rng.normal(size=(60, 5)) * spread).astype(np.float32)
    labels = np.where(np.arange(60) % 3, logits.argmax(1), rng.integers(0, 5, 60))
    answers = read_answers(logits[None, :, None], labels, "logits")
    with localcontext() as context:
        context.prec = 80
        for i in range(60):
            e = [Decimal(float(z)).exp() for z in logits[i]]
            p, y = [v / sum(e) for v in e], labels[i]
            mentr = (1 - p[y]) * p[y].ln() + sum(p[j] * (1 - p[j]).ln() for j in range(5) if j != y)
            l2 = -sum((p[j] - (j == y)) ** 2 for j in range(5))
            entropy = sum(v * v.ln() for v in p)
            for signal, expected in ((thresholds.mentr, mentr), (thresholds.l2, l2), (thresholds.entropy, entropy)):
                found = float(signal(answers, labels)[0, i])
                assert found == pytest.approx(float(expected), rel=1e-5, abs=1e-300), signal.__name__


def test_confidence_is_largest_p_and_loss_log_of_true_p() -> None:
    logits = np.random.default_rng(3).normal(size=(1, 40, 1, 5))
    p = np.exp(logits[0, :, 0]) / np.exp(logits[0, :, 0]).sum(1, keepdims=True)
    labels = np.random.default_rng(4).integers(0, 5, 40)
    answers = read_answers(logits, labels, "logits")
    np.testing.assert_allclose(thresholds.confidence(answers, labels)[0], p.max(1), rtol=1e-6)
    np.testing.assert_allclose(thresholds.loss(answers, labels)[0], np.log(p[np.arange(40), labels]), rtol=1e-6)
    np.testing.assert_allclose(thresholds.l2(answers, labels)[0], -((p - np.eye(5)[labels]) ** 2).sum(1), rtol=1e-5)


def test_entropy_and_confidence_do_not_see_the_order_of_classes() -> None:
    logits = np.random.default_rng(5).normal(size=(1, 40, 1, 5))
    labels = np.zeros(40, np.int64)
    for signal in (thresholds.entropy, thresholds.confidence):
        here, there = (signal(read_answers(z, labels, "logits"), labels) for z in (logits, logits[..., ::-1]))
        np.testing.assert_allclose(here, there, rtol=1e-12)


@pytest.mark.parametrize("signal", [thresholds.confidence, thresholds.entropy, thresholds.mentr, thresholds.l2])
def test_signals_of_several_models_are_those_of_each(signal: Any) -> None:
    signals, _ = full_table(np.random.default_rng(15), 30)
    values = signal(signals.shadows, signals.labels)
    assert values.shape == (6, 30)
    for k in range(6):
        alone = signal(signals.shadows.of_models(np.array([k])), signals.labels)
        np.testing.assert_array_equal(values[k], alone[0])
    with pytest.raises(ValueError, match="no full vectors"):
        signal(replace(signals.shadows, vectors=None), signals.labels)


def test_gap_and_the_two_accuracies() -> None:
    signals, member = full_table(np.random.default_rng(6), 1000, leak=1.0)
    scores = ATTACKS["gap"].score(signals, RNG)
    correct = signals.target.correct[0, :, 0]
    assert set(np.unique(scores)) == {0.0, 1.0}
    expected = (1 + correct[member].mean() - correct[~member].mean()) / 2
    assert roc_auc_score(member, scores) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("digits", [1, 12])
def test_best_threshold_equals_brute_force(digits: int) -> None:
    rng = np.random.default_rng(7)
    inside, outside = np.round(rng.normal(0.7, 1, 80), digits), np.round(rng.normal(0, 1, 60), digits)
    candidates = sorted({*inside, *outside})
    quality = [np.mean(inside >= t) + np.mean(outside < t) for t in candidates]
    best = next(t for t, value in zip(candidates, quality, strict=True) if value > max(quality) - 1e-12)
    found = classwise.best_threshold(inside, outside)
    assert found == best


@pytest.mark.parametrize("name", ["loss", "confidence", "entropy", "mentr", "l2"])
def test_with_one_class_the_order_is_the_global_one(name: str) -> None:
    signals, _ = full_table(np.random.default_rng(8), 200, leak=1.0)
    signals = replace(signals, labels=np.zeros(200, np.int64))
    one, many = (ATTACKS[n].score(signals, RNG) for n in (name, f"{name}-classwise"))
    assert np.ptp(one - many) < 1e-12


def test_class_thresholds_read_so_many_models_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, _ = gaussian_table(np.random.default_rng(3), 50, 40)
    monkeypatch.setattr(classwise, "MOST_READ", 50 * 35)
    first, every = (ATTACKS["loss-classwise"].score(part, RNG) for part in (signals.of_models(np.arange(34)), signals))
    np.testing.assert_array_equal(every, first)


@pytest.mark.parametrize(("n_in", "n_out", "own"), [(1, 9, True), (9, 1, True), (1, 8, False), (12, 0, False)])
def test_class_has_own_threshold_from_ten_rows_on_both_sides(n_in: int, n_out: int, own: bool) -> None:
    rng = np.random.default_rng(16)
    labels = np.repeat([0, 1], [40, n_in + n_out])
    trained_on = np.r_[np.tile([0, 1], 20), np.repeat([1, 0], [n_in, n_out])].astype(np.int8)[None]
    values = rng.normal(size=trained_on.shape)
    of_class = labels == (1 if own else labels)
    expected = classwise.best_threshold(*classwise.sides(values[:, of_class], trained_on[:, of_class]))
    assert set(classwise.class_thresholds(values, trained_on, labels)[40:]) == {expected}


def test_best_threshold_takes_the_smallest_of_equals_exactly() -> None:
    """1, 3 and 5 are equally good; in floating point 1 - 2/3 would look better than 1/3."""
    inside, outside = np.array([1.0, 3.0, 5.0]), np.array([0.0, 2.0, 4.0])
    gains = [Fraction(int((inside >= t).sum() - (outside >= t).sum()), 3) for t in range(6)]
    assert [t for t in range(6) if gains[t] == max(gains)] == [1, 3, 5]
    assert classwise.best_threshold(inside, outside) == 1


def test_class_thresholds_follow_labels_sparse_take_global() -> None:
    rng = np.random.default_rng(9)
    values, trained_on = rng.normal(size=(4, 90)), np.tile([[0], [1]], (2, 90)).astype(np.int8)
    labels = np.repeat([0, 1, 2], [50, 38, 2])  # class 2: four rows a side
    values[:, labels == 1] += 5
    tau = classwise.class_thresholds(values, trained_on, labels)
    for label in (0, 1):
        own = values[:, labels == label]
        assert set(tau[labels == label]) == {classwise.best_threshold(own[1::2].ravel(), own[::2].ravel())}
    assert set(tau[labels == 2]) == {classwise.best_threshold(values[1::2].ravel(), values[::2].ravel())}
    renamed = np.array([7, 3, 5])[labels]
    np.testing.assert_array_equal(classwise.class_thresholds(values, trained_on, renamed), tau)
    nowhere = classwise.class_thresholds(values, np.ones_like(trained_on), labels)
    assert np.isnan(nowhere).all()


def test_class_thresholds_beat_one_where_classes_differ() -> None:
    signals, member = full_table(np.random.default_rng(10), 2000, leak=1.5)
    shift = np.where(signals.labels == 0, 4.0, 0.0)[None, :, None].astype(np.float32)
    signals = replace(
        signals,
        target=replace(signals.target, log_p=signals.target.log_p - shift),
        shadows=replace(signals.shadows, log_p=signals.shadows.log_p - shift),
    )
    one, many = (roc_auc_score(member, ATTACKS[n].score(signals, RNG)) for n in ("loss", "loss-classwise"))
    assert many > one + 0.05


def test_classwise_score_is_distance_to_class_threshold() -> None:
    """Saturated answers tie with the threshold: their score is exactly 0, and they are called members."""
    p = np.where(np.arange(40) % 2, 1.0, 0.9)
    raw = np.stack([p, 1 - p], -1)
    labels = np.zeros(40, np.int64)
    shadows = read_answers(np.broadcast_to(raw, (2, 40, 2))[:, :, None], labels, "probabilities")
    trained_on = np.stack([np.arange(40) % 2, 1 - np.arange(40) % 2]).astype(np.int8)
    trained_on[1] = np.where(trained_on[1] == 1, -1, trained_on[1])
    signals = table(read_answers(raw[None, :, None], labels, "probabilities"), shadows, trained_on, labels)
    signals = replace(signals, trained_on=np.stack([trained_on[0], trained_on[0]]))
    scores = ATTACKS["confidence-classwise"].score(signals, RNG)
    np.testing.assert_array_equal(scores, p.astype(np.float32).astype(float) - 1.0)
    np.testing.assert_array_equal(scores > ATTACKS["confidence-classwise"].threshold, p == 1.0)  # type: ignore[operator]


def test_top_one_is_the_largest_logit() -> None:
    signals, _ = full_table(np.random.default_rng(11), 30)
    scores = ATTACKS["top-one"].score(signals, RNG)
    np.testing.assert_array_equal(scores, signals.target.vectors[0].max(1))
    np.testing.assert_array_equal(scores, ATTACKS["top-one-search"].score(signals, RNG))
    assert ATTACKS["top-one-search"].threshold == "search"


@pytest.mark.slow
def test_risk_score_is_calibrated() -> None:
    """Among records with a score near r, about a share r are members (bands of four standard deviations)."""
    signals, member = full_table(np.random.default_rng(12), 6000, leak=1.0, classes=3)
    scores = ATTACKS["privacy-risk-score"].score(signals, RNG)
    assert scores.min() > 0
    assert scores.max() < 1
    for low, high in ((0, 0.4), (0.4, 0.5), (0.5, 0.6), (0.6, 1)):
        near = (scores > low) & (scores <= high)
        assert near.sum() > 100
        assert member[near].mean() == pytest.approx(scores[near].mean(), abs=4 * 0.5 / np.sqrt(near.sum()))


def test_risk_score_of_equal_distributions_is_one_half() -> None:
    from memberwise.attacks.privacy_risk_score import posterior

    rng = np.random.default_rng(13)
    values = rng.normal(size=5000)
    np.testing.assert_allclose(posterior(values, values, values), 0.5)
    assert set(posterior(values[:5], values[:10], values[:10])) == {0.5}, "few rows: one bin"
    # N(1, 1) against N(0, 1): the true posterior is logistic(s - 1/2)
    found = posterior(np.array([-1.0, 0.5, 2.0]), rng.normal(1, 1, 50_000), rng.normal(0, 1, 50_000))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-(np.array([-1.0, 0.5, 2.0]) - 0.5))), atol=0.04)


def test_risk_score_of_separate_sides_is_held_by_added_rows() -> None:
    """80 rows make two bins: each side's share of a bin counts one row more."""
    from memberwise.attacks.privacy_risk_score import posterior

    inside, outside = np.linspace(1, 2, 60), np.linspace(-2, -1, 20)
    middle = np.median(np.r_[inside, outside])
    above, below = (inside >= middle).sum(), (inside < middle).sum()
    p_in, p_out = np.array([below + 1, above + 1]) / 62, np.array([21, 1]) / 22
    np.testing.assert_allclose(posterior(np.array([-5.0, 5.0]), inside, outside), p_in / (p_in + p_out), rtol=1e-12)


def test_risk_score_of_a_sparse_class_comes_from_all_classes() -> None:
    signals, _ = full_table(np.random.default_rng(14), 400, leak=1.0, classes=2)
    labels = signals.labels.copy()
    few = np.flatnonzero(labels == 1)[:10]
    signals = of_records(signals, np.r_[np.flatnonzero(labels == 0), few])
    scores = ATTACKS["privacy-risk-score"].score(signals, RNG)
    assert np.isfinite(scores).all()
