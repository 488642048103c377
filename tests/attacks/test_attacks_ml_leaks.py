"""ML-Leaks: features of any number of classes, transfer between label spaces, and the threshold without training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import full_table
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from memberwise.attacks import ATTACKS, ml_leaks
from memberwise.signals.read import read_answers
from memberwise.signals.table import Transfer


def rng() -> Any:
    return np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_features_are_the_three_largest_log_probabilities(classes: int) -> None:
    p = np.random.default_rng(classes).dirichlet(np.ones(classes), 20)
    answers = read_answers(p[None, :, None], np.zeros(20, int), "probabilities", precision=np.float64)
    expected = [sorted(np.log(row), reverse=True)[:3] for row in p]
    np.testing.assert_allclose(ml_leaks.top_features(answers), expected)


def test_one_shadow_model_is_all_that_is_used() -> None:
    signals, member = full_table(np.random.default_rng(1), 800, leak=4.0)
    scores = ml_leaks.one_shadow(signals, rng())
    assert roc_auc_score(member, scores) > 0.75
    first = replace(signals, shadows=signals.shadows.of_models(np.array([0])), trained_on=signals.trained_on[:1])
    np.testing.assert_array_equal(ml_leaks.one_shadow(first, rng()), scores)
    permuted = replace(signals, labels=np.random.default_rng(2).permutation(signals.labels))
    np.testing.assert_array_equal(ml_leaks.one_shadow(permuted, rng()), scores)


@pytest.mark.parametrize("classes", [2, 9])
def test_another_runs_model_teaches_whatever_its_classes(classes: int) -> None:
    signals, member = full_table(np.random.default_rng(3), 600, leak=4.0)
    draw = np.random.default_rng(4)
    own = draw.random(500) < 0.4
    logits = draw.normal(size=(1, 500, 1, classes))
    logits[0, :, 0, 0] += 1.5 + 4.0 * own
    transfer = Transfer(read_answers(logits, np.zeros(500, int), "logits"), own)
    assert roc_auc_score(member, ml_leaks.other_data(replace(signals, transfer=transfer), rng())) > 0.7


def test_adversary_3_ranks_as_confidence_cut_at_random_inputs() -> None:
    signals, _ = full_table(np.random.default_rng(5), 200)
    scores = ml_leaks.no_shadow(signals, rng())
    confidence = ATTACKS["confidence"].score(signals, rng())
    np.testing.assert_array_equal(rankdata(scores), rankdata(confidence))
    np.testing.assert_array_equal(scores > 0, confidence > signals.target.extra["random"][0])
