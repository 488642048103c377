"""Zeros of answers that come in steps, and of answers that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from memberwise.signals.read import log_complements, log_vectors, read_answers
from memberwise.signals.steps import find_step, lift_zeros, lifted_loss, step_notes, tiny
from memberwise.signals.table import Answers, Signals

TASKS: dict[str, tuple[Any, Any]] = {
    "digits": load_digits(return_X_y=True),
    "cancer": load_breast_cancer(return_X_y=True),
}


def answered(make: Any, task: str, models: int = 3, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """``(models, 2 n, 1, C)`` probabilities of classifiers that saw half of the records, and the labels."""
    x, y = TASKS[task]
    x = (x - x.mean(0)) / (x.std(0) + 1e-9)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(x))[: 2 * n]
    raw = np.zeros((models, len(rows), 1, len(set(y))))
    for k in range(models):
        half = rng.permutation(rows)[:n]
        fitted = make().fit(x[half], y[half])
        raw[k, :, 0][:, fitted.classes_] = fitted.predict_proba(x[rows])
    return raw, y[rows]


def rounded(raw: np.ndarray) -> np.ndarray:
    """As a file in single precision answers, the last class as one minus the others."""
    single = raw.astype(np.float32)
    single[..., -1] = 1 - single[..., :-1].sum(-1, dtype=np.float32)
    return single


STEPS = [
    (lambda: RandomForestClassifier(20, random_state=0), 1 / 20),
    (lambda: RandomForestClassifier(100, random_state=0), 1 / 100),
    (lambda: ExtraTreesClassifier(50, random_state=0), 1 / 50),
    (lambda: BaggingClassifier(n_estimators=10, random_state=0), 1 / 10),
    (lambda: KNeighborsClassifier(5), 1 / 5),
    (lambda: KNeighborsClassifier(1), 1.0),
    (lambda: DecisionTreeClassifier(random_state=0), 1.0),
]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("make", "size"), STEPS)
def test_votes_come_in_steps_of_one_vote(make: Any, size: float, task: str) -> None:
    raw, y = answered(make, task)
    for values in (raw, rounded(raw)):
        step = find_step(read_answers(values, y, "probabilities"))
        assert step is not None
        assert step.size == pytest.approx(size, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "task"),
    [
        (lambda: RandomForestClassifier(50, min_samples_leaf=5, random_state=0), "cancer"),
        (lambda: DecisionTreeClassifier(min_samples_leaf=5, random_state=0), "digits"),
        (lambda: KNeighborsClassifier(5, weights="distance"), "digits"),
        (lambda: CalibratedClassifierCV(LinearSVC(dual=False), method="isotonic", cv=3), "cancer"),
    ],
)
def test_uneven_steps_are_as_small_as_the_smallest_answer(make: Any, task: str) -> None:
    raw, y = answered(make, task)
    step = find_step(read_answers(raw, y, "probabilities"))
    assert step is not None
    assert step.size == pytest.approx(raw[raw > 5e-7].min(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "make",
    [
        GaussianNB,
        lambda: LogisticRegression(C=1e6, max_iter=300),
        LogisticRegression,
        lambda: GradientBoostingClassifier(n_estimators=10, random_state=0),
        lambda: CalibratedClassifierCV(LinearSVC(dual=False), cv=3),
    ],
)
def test_answers_that_run_on_towards_zero_have_no_steps(make: Any, task: str) -> None:
    raw, y = answered(make, task)
    for values in (raw, rounded(raw)):
        assert find_step(read_answers(values, y, "probabilities")) is None


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 500), st.integers(0, 2**32 - 1))
def test_a_lattice_is_found_and_a_sigmoid_is_not(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    votes = rng.binomial(k, rng.beta(0.3, 0.3, 600)) / k
    y = np.zeros(600, np.int64)
    step = find_step(read_answers(np.stack([votes, 1 - votes], -1)[None, :, None], y, "probabilities"))
    assert step is not None
    shown = np.r_[votes, 1 - votes]
    assert step.size == pytest.approx(shown[shown > 1e-9].min(), rel=1e-4)
    p = expit(rng.normal(0, rng.uniform(20, 400), 600))
    assert find_step(read_answers(np.stack([p, 1 - p], -1)[None, :, None], y, "probabilities")) is None


def table(target: Answers, shadows: Answers, y: np.ndarray) -> Signals:
    n = len(y)
    return Signals(np.arange(n), y, target, shadows, np.zeros((shadows.models, n), np.int8))


def test_one_floor_for_the_target_and_the_shadow_models() -> None:
    """The step is the smallest that any of them shows, and lifts zeros alone."""
    raw, y = answered(lambda: RandomForestClassifier(20, random_state=0), "digits", 4)
    coarse = answered(lambda: RandomForestClassifier(4, random_state=0), "digits", 1)[0]  # larger steps only
    before = table(read_answers(rounded(coarse), y, "probabilities"), read_answers(raw[1:], y, "probabilities"), y)
    after, step = lift_zeros(before)
    assert step is not None
    assert step.size == pytest.approx(0.05)
    assert step_notes(step)[0][0] == "answers-in-steps"
    assert after.shadows is not None
    for part, values in ((after.target, coarse), (after.shadows, raw[1:])):
        own = np.take_along_axis(values[:, :, 0], y[None, :, None], -1)[..., 0]
        np.testing.assert_allclose(np.exp(part.log_p[..., 0]), np.where(own == 0, 0.025, own), rtol=1e-5)
        np.testing.assert_allclose(np.exp(part.log_1mp[..., 0]), np.maximum(1 - own, 0.025), rtol=1e-4)
        np.testing.assert_allclose(np.exp(log_vectors(part)), np.maximum(values[:, :, 0], 0.025), rtol=1e-5)
        assert np.exp(log_complements(part)).min() >= 0.025 * (1 - 1e-6)
        assert part.saturated == 0


def test_logits_and_labels_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 100)
    for kind, raw in (("logits", rng.normal(0, 300, (2, 100, 1, 3))), ("labels", rng.integers(0, 3, (2, 100, 1)))):
        answers = read_answers(raw, y, kind)  # type: ignore[arg-type]
        signals, step = lift_zeros(table(answers.of_models(np.array([0])), answers.of_models(np.array([1])), y))
        assert step is None
        assert signals.target.floor is None


def test_a_mean_loss_is_that_of_the_lifted_answers() -> None:
    raw, y = answered(lambda: RandomForestClassifier(20, random_state=0), "digits")
    answers = read_answers(rounded(raw), y, "probabilities")
    step = find_step(answers)
    assert step is not None
    weights = np.random.default_rng(1).random((3, len(y)))
    log_p = answers.log_p[:, :, 0]
    stored = (-log_p.astype(float) * weights).sum(1) / weights.sum(1)
    direct = (-np.log(np.maximum(np.exp(log_p.astype(float)), 0.025)) * weights).sum(1) / weights.sum(1)
    found = [lifted_loss(loss, part, step) for loss, part in zip(stored, tiny(log_p, weights), strict=True)]
    np.testing.assert_allclose(found, direct, rtol=1e-6)
    assert [lifted_loss(loss, part, None) for loss, part in zip(stored, tiny(log_p, weights), strict=True)] == [*stored]
