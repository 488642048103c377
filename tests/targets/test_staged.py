"""Boosters asked after a part of their rounds: as one trained for no more rounds, and as the library's own staging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from memberwise.data.labels import ClassLabels
from memberwise.targets.estimators import EstimatorModels, Numbered
from memberwise.targets.staged import EARLY_SHARES, predict_early, rounds_of

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(150, 4)).astype(np.float32), RNG.integers(0, 3, 150)
ROUNDS = 10
AFTER = {1 / 6: 2, 2 / 5: 4}  # rounds: of ten

BOOSTERS: dict[str, Callable[[int], Any]] = {
    "histogram": lambda rounds: HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False),
    "gradient": lambda rounds: GradientBoostingClassifier(n_estimators=rounds, random_state=0),
    "ada": lambda rounds: AdaBoostClassifier(n_estimators=rounds, random_state=0),
    "xgboost": lambda rounds: XGBClassifier(n_estimators=rounds, n_jobs=1),
    "lightgbm": lambda rounds: LGBMClassifier(n_estimators=rounds, n_jobs=1, verbose=-1),
    "catboost": lambda rounds: CatBoostClassifier(
        iterations=rounds, learning_rate=0.3, depth=3, thread_count=1, verbose=False, allow_writing_files=False
    ),
}


@pytest.mark.parametrize("share", EARLY_SHARES)
@pytest.mark.parametrize("name", BOOSTERS)
def test_first_rounds_are_a_shorter_training(name: str, share: float) -> None:
    whole, part = BOOSTERS[name](ROUNDS).fit(X, Y), BOOSTERS[name](AFTER[share]).fit(X, Y)
    assert rounds_of(whole) == ROUNDS
    found = predict_early(whole, X, share)
    np.testing.assert_allclose(found, part.predict_proba(X), atol=1e-6)
    assert np.abs(found - whole.predict_proba(X)).max() > 0.01
    if hasattr(whole, "staged_predict_proba"):
        np.testing.assert_allclose(found, list(whole.staged_predict_proba(X))[AFTER[share] - 1], atol=1e-12)


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_pipeline_is_asked_behind_its_steps(name: str) -> None:
    pipeline = make_pipeline(StandardScaler(), BOOSTERS[name](ROUNDS)).fit(X * 5 + 3, Y)
    scaled = StandardScaler().fit_transform(X * 5 + 3)
    expected = BOOSTERS[name](4).fit(scaled, Y).predict_proba(scaled)
    assert rounds_of(pipeline) == ROUNDS
    np.testing.assert_allclose(predict_early(pipeline, X * 5 + 3, 2 / 5), expected, atol=1e-6)


def test_a_pipeline_in_a_pipeline_is_asked_too() -> None:
    inner = make_pipeline(StandardScaler(), BOOSTERS["histogram"](ROUNDS))
    nested = make_pipeline(StandardScaler(), inner).fit(X, Y)
    assert rounds_of(nested) == ROUNDS
    plain = predict_early(make_pipeline(StandardScaler(), BOOSTERS["histogram"](ROUNDS)).fit(X, Y), X, 2 / 5)
    np.testing.assert_allclose(predict_early(nested, X, 2 / 5), plain, atol=1e-12)


def test_models_that_have_no_rounds_have_none() -> None:
    search = GridSearchCV(BOOSTERS["histogram"](2), {"max_leaf_nodes": [3]}, cv=2)
    for model in (RandomForestClassifier(3), make_pipeline("passthrough", BOOSTERS["histogram"](2)), search):
        assert rounds_of(model.fit(X, Y)) is None


def test_rounds_that_were_stopped_are_those_trained() -> None:
    stopping = HistGradientBoostingClassifier(max_iter=200, n_iter_no_change=2, early_stopping=True, random_state=0)
    stopped = stopping.fit(X, Y)
    trained = rounds_of(stopped)
    assert trained == len(list(stopped.staged_predict_proba(X)))
    assert trained < 200


def test_one_round_is_the_least() -> None:
    one = BOOSTERS["histogram"](1).fit(X, Y)
    np.testing.assert_array_equal(predict_early(one, X, 1 / 6), one.predict_proba(X))


def test_checkpoints_answer_in_the_classes_of_the_data() -> None:
    """A class that a model never saw, labels that are words, and labels that the library had to have as numbers."""
    words = np.array(["a", "b", "c", "d"])
    labels = ClassLabels.of(words.tolist())
    seen = words[[0, 1, 3]][Y]
    plain = BOOSTERS["histogram"](ROUNDS).fit(X, seen)
    numbered = Numbered(BOOSTERS["xgboost"](ROUNDS).fit(X, Y), words[[0, 1, 3]])
    for model, inner in ((plain, plain), (numbered, numbered.estimator)):
        early = EstimatorModels([model], labels).early
        assert len(early) == len(EARLY_SHARES)
        for share, target in zip(EARLY_SHARES, early, strict=True):
            answers = target.predict(X)[0]
            np.testing.assert_allclose(answers[:, [0, 1, 3]], predict_early(inner, X, share))
            assert not answers[:, 2].any()
