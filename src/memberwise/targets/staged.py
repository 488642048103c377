"""Boosted trees after a part of their rounds: earlier checkpoints that cost no training."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np

from memberwise.types.arrays import Array
from memberwise.types.foreign import Estimator

# Shares of the training after which a model is looked at: a sixth and two fifths of its rounds, or of its epochs.
EARLY_SHARES = (1 / 6, 2 / 5)
# How a booster's first rounds are asked for, by its package: the keyword and its value.
ROUNDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "lightgbm": lambda rounds: {"num_iteration": rounds},
    "xgboost": lambda rounds: {"iteration_range": (0, rounds)},
    "catboost": lambda rounds: {"ntree_end": rounds},
}


def rounds_of(estimator: Estimator) -> int | None:
    """Rounds of a fitted booster whose first rounds can be asked by themselves; None of any other classifier."""
    last = _steps(estimator)[-1]
    package = _package(last)
    if package == "sklearn" and hasattr(last, "staged_predict_proba"):
        rounds = getattr(last, "n_iter_", None) or getattr(last, "n_estimators_", None) or len(last.estimators_)
        return int(rounds)
    if package == "xgboost":
        return int(last.get_booster().num_boosted_rounds())
    if package == "lightgbm":
        return int(last.booster_.current_iteration())
    return int(last.tree_count_) if package == "catboost" else None


def predict_early(estimator: Estimator, records: Any, share: float) -> Array:
    """``(n, classes)`` probabilities of a booster (``rounds_of``) after this share of its rounds, at least one."""
    *before, last = _steps(estimator)
    rounds = max(1, round(share * (rounds_of(estimator) or 1)))
    for step in before:
        records = step.transform(records)
    if package := ROUNDS.get(_package(last)):
        return np.asarray(last.predict_proba(records, **package(rounds)))
    return np.asarray(next(islice(last.staged_predict_proba(records), rounds - 1, None)))


def _package(model: object) -> str:
    return type(model).__module__.partition(".")[0]


def _steps(estimator: Estimator) -> list[Any]:
    """A pipeline's steps, of pipelines within it too; "passthrough" steps and searches are not looked into."""
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and steps and all(hasattr(step, "transform") for _, step in steps[:-1]):
        return [*(step for _, step in steps[:-1]), *_steps(steps[-1][1])]
    return [estimator]
