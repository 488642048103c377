"""Signals read off raw answers, against decimal arithmetic; the table's small operations."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memberwise.signals import read
from memberwise.signals.read import log_complements, log_vectors, probability_vectors, read_answers


def decimal_softmax(logits: Any) -> list[Any]:
    with localcontext() as context:
        context.prec = 120
        powers = [Decimal(float(z)).exp() for z in logits]
        total = sum(powers)
        return [(float((e / total).ln()), float((sum(powers) - e).ln() - total.ln())) for e in powers]  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-90, 90, width=32), min_size=2, max_size=6), st.integers(0, 5))
def test_logits_give_log_p_and_log_1mp_to_full_precision(logits: Any, label: int) -> None:
    """p_y = 1 - 1e-40 and p_y = 1e-40 keep their digits, where z_y - logsumexp(z) would be rounding noise."""
    label %= len(logits)
    labels = np.array([label])
    answers = read_answers(np.array(logits)[None, None, None], labels, "logits")
    expected = decimal_softmax(logits)
    assert answers.log_p[0, 0, 0] == pytest.approx(expected[label][0], rel=1e-6, abs=1e-44)
    assert answers.log_1mp[0, 0, 0] == pytest.approx(expected[label][1], rel=1e-6, abs=1e-44)
    np.testing.assert_allclose(log_vectors(answers)[0, 0], [p for p, _ in expected], rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(log_complements(answers)[0, 0], [c for _, c in expected], rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(probability_vectors(answers)[0, 0].sum(), 1.0, rtol=1e-12)


def test_phi_survives_storage_in_float32() -> None:
    logits = np.array([[[[40.0, 0.0]], [[-40.0, 0.0]], [[0.5, 0.0]]]])
    answers = read_answers(logits, np.zeros(3, np.int64), "logits")
    assert answers.log_p.dtype == np.float32
    np.testing.assert_allclose(answers.phi[0, :, 0], [40, -40, 0.5], rtol=1e-6)


def test_probabilities_are_clipped_at_1e_minus_30_and_told() -> None:
    raw = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5], [1 - 1e-12, 1e-12, 0.0]])
    answers = read_answers(raw[None, :, None], np.zeros(4, np.int64), "probabilities")
    np.testing.assert_allclose(answers.log_p[0, :, 0], np.log([1, 1e-30, 0.2, 1 - 1e-12]), rtol=1e-6)
    np.testing.assert_allclose(answers.log_1mp[0, :, 0], np.log([1e-30, 1, 0.8, 1e-12]), rtol=1e-6)
    assert answers.saturated == 0.5
    complements = log_complements(answers)[0]
    np.testing.assert_allclose(complements[0], [np.log(1e-30), 0, 0])
    np.testing.assert_allclose(np.exp(complements[2]), [0.8, 0.7, 0.5], rtol=1e-6)
    assert complements[3, 0] == pytest.approx(np.log(1e-12), rel=1e-6)


def test_scores_need_not_sum_to_one() -> None:
    """log(1 - p_y) is taken as written, of the true class as of the others; either end may be saturated."""
    raw = np.array([[0.5, 0.1, 0.1], [1.0, 0.0, 0.0], [0.0, 0.9, 0.8], [0.9, 0.0, 0.0]])
    answers = read_answers(raw[None, :, None], np.zeros(4, np.int64), "scores")
    np.testing.assert_allclose(answers.log_p[0, :, 0], np.log([0.5, 1.0, 1e-12, 0.9]), rtol=1e-6)
    np.testing.assert_allclose(answers.log_1mp[0, :, 0], np.log([0.5, 1e-12, 1.0, 0.1]), rtol=1e-6)
    np.testing.assert_allclose(log_complements(answers)[0, :, 0], answers.log_1mp[0, :, 0], rtol=1e-6)
    np.testing.assert_allclose(log_vectors(answers)[0, 1], np.log([1, 1e-12, 1e-12]), atol=1e-6)
    np.testing.assert_allclose(probability_vectors(answers)[0], raw, rtol=1e-6)
    assert answers.saturated == 0.5


def test_labels_tell_who_is_right_and_nothing_else() -> None:
    labels = np.array([2, 0, 1])
    answers = read_answers(np.array([[[2], [1], [1]]]), labels, "labels")
    np.testing.assert_array_equal(answers.correct[0, :, 0], [True, False, True])
    assert np.isnan(answers.log_p).all()
    assert answers.vectors is None
    with pytest.raises(ValueError, match="no full vectors"):
        log_vectors(answers)


@pytest.mark.parametrize("kind", ["logits", "probabilities", "scores"])
def test_chunks_of_models_give_what_one_pass_gives(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    raw = rng.dirichlet(np.ones(4), (7, 5, 2)).astype(np.float32)
    labels = rng.integers(0, 4, 5)
    whole = read_answers(raw, labels, kind, 3)  # type: ignore[arg-type]
    monkeypatch.setattr(read, "CHUNK_VALUES", 80)
    parts = read_answers(raw, labels, kind, 3)  # type: ignore[arg-type]
    for name in ("log_p", "log_1mp", "correct", "vectors"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.saturated == parts.saturated
    assert (whole.models, whole.records, whole.queries) == (7, 5, 2)
    np.testing.assert_array_equal(whole.vectors, raw[:3, :, 0])
    np.testing.assert_array_equal(whole.correct, raw.argmax(-1) == labels[None, :, None])


def test_float32_and_float64_answers_agree() -> None:
    raw = np.random.default_rng(1).normal(size=(2, 30, 1, 5)).astype(np.float32)
    labels = np.zeros(30, np.int64)
    np.testing.assert_array_equal(
        read_answers(raw, labels, "logits").log_p, read_answers(raw.astype(np.float64), labels, "logits").log_p
    )


def test_full_answers_keep_the_precision_asked_for() -> None:
    """A constant beside which float32 has no digits left is free in float64, in every signal."""
    raw = np.random.default_rng(3).normal(size=(2, 30, 1, 5))
    labels = np.zeros(30, np.int64)
    plain, moved = (read_answers(z, labels, "logits", precision=np.float64) for z in (raw, raw - 1e9))
    np.testing.assert_array_equal(plain.vectors, raw[:, :, 0])
    for read_off in (log_vectors, log_complements, probability_vectors):
        np.testing.assert_allclose(read_off(moved), read_off(plain), rtol=1e-5)
    np.testing.assert_allclose(moved.log_p, plain.log_p, rtol=1e-5)
    assert read_answers(raw, labels, "logits").vectors.dtype == np.float32  # type: ignore[union-attr]  # the product's own runs


def test_models_are_taken_with_the_vectors_they_have() -> None:
    rng = np.random.default_rng(2)
    answers = read_answers(rng.normal(size=(6, 4, 1, 3)), np.zeros(4, np.int64), "logits", 3)
    some = answers.of_models(np.array([1, 2, 5]))
    np.testing.assert_array_equal(some.log_p, answers.log_p[[1, 2, 5]])
    np.testing.assert_array_equal(some.vectors, answers.vectors[[1, 2]])  # type: ignore[index]
    assert answers.of_models(np.array([4, 5])).vectors is None
    assert read_answers(rng.normal(size=(2, 4, 1, 3)), np.zeros(4, np.int64), "logits", 0).vectors is None
