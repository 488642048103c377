"""Trees side by side as threads of one process: the same models, and nothing of the user's among them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from memberwise.data.labels import ClassLabels
from memberwise.defences.output.rounding import Rounding
from memberwise.models.build import model_of
from memberwise.signals.collection import SignalCollection
from memberwise.signals.questions import Questions
from memberwise.study.schema import ModelConfig, TrainingConfig
from memberwise.targets.base import Target
from memberwise.training.job import Job
from memberwise.training.plan import Plan
from memberwise.training.recipe import Recipe
from memberwise.training.step import Step
from memberwise.training.trainers.processes import ProcessTrainer, Records, grows_in_threads
from memberwise.types.arrays import Arrays

X, Y = load_iris(return_X_y=True)
X = X.astype(np.float32)
RECIPE = Recipe.of(TrainingConfig(epochs=1))
JOBS = [Job(np.arange(k, 150, 2), Step(), RECIPE, k) for k in range(3)]


class Collection:
    """Answers, and in which process they were given."""

    thread_safe = True

    def __call__(self, models: Target, jobs: Sequence[Job]) -> Arrays:
        return {"p": models.predict(X), "process": np.array([os.getpid()])}


class OwnForest(RandomForestClassifier):  # type: ignore[misc]
    """A user's, which may keep what it likes."""


@dataclass(frozen=True)
class OwnCollector:
    """A user's."""

    name = words = "own"
    most_models = 2

    def __call__(self, *_: object) -> np.ndarray:
        return np.zeros(9)


OWN: Any = OwnCollector()


def trainer(estimator: Any) -> ProcessTrainer:
    return ProcessTrainer(
        model_of(estimator, ModelConfig(), (4,), 3, "mine"), X, Y, 3, Plan(4, threads=2, stacked=False)
    )


def boosters() -> list[Any]:
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    return [
        lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbosity=-1, subsample=0.8, subsample_freq=1),
        xgboost.XGBClassifier(n_estimators=4, n_jobs=1, subsample=0.8),
    ]


def assert_as_alone(estimator: Any) -> None:
    found = trainer(estimator).run(JOBS, Collection())
    assert set(found["process"]) == {os.getpid()}
    for job, answers in zip(JOBS, found["p"], strict=True):
        made = type(estimator)(**{**estimator.get_params(), "random_state": job.seed})
        with threadpool_limits(1, "openmp"):
            direct = made.fit(X[job.rows], Y[job.rows]).predict_proba(X)
        np.testing.assert_array_equal(answers, direct)


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
def test_forests_of_threads_equal_forests_alone(kind: type) -> None:
    assert_as_alone(kind(n_estimators=5))


@pytest.mark.slow
def test_boosted_trees_of_threads_equal_those_alone() -> None:
    for estimator in (HistGradientBoostingClassifier(max_iter=4), *boosters()):
        assert_as_alone(estimator)


def test_only_a_librarys_trees_on_numbers_share_a_process() -> None:
    labels = ClassLabels.numbered(3)
    for estimator in (OwnForest(), LogisticRegression(), make_pipeline(RandomForestClassifier())):
        model = model_of(estimator, ModelConfig(), (4,), 3, "mine")
        assert not grows_in_threads(model, Records(X, Y, labels))
    forest = model_of(RandomForestClassifier(), ModelConfig(), (4,), 3, "mine")
    assert grows_in_threads(forest, Records(X, Y, labels))


def test_a_collection_that_may_keep_a_state_keeps_its_processes() -> None:
    rows = np.arange(9)
    questions = Questions(X, Y, 3, audited=rows, population=rows, test=rows, background=rows)
    assert SignalCollection(questions).thread_safe
    assert not SignalCollection(replace(questions, defences=(Rounding(),))).thread_safe
    assert not SignalCollection(replace(questions, extras=(OWN,))).thread_safe


def test_threads_leave_the_process_as_it_was() -> None:
    before, filters = sys.stdout, list(warnings.filters)
    trainer(RandomForestClassifier(n_estimators=2)).run(JOBS, Collection())
    assert sys.stdout is before
    assert warnings.filters == filters
