"""Classifiers of scikit-learn and its like, by name; ``model.options`` are their parameters."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from memberwise.errors import MissingExtraError, StudyError
from memberwise.models.layers import Shape
from memberwise.study.schema import ModelConfig


def estimator(module: str, name: str, **defaults: object) -> Callable[[ModelConfig, Shape, int], Any]:
    """What makes an unfitted classifier of this class, of one thread: models are trained side by side.

    Args:
        defaults: parameters that the study may set otherwise.
    """

    def make(study: ModelConfig, shape: Shape, classes: int) -> Any:
        library = module.partition(".")[0]
        try:
            kind = getattr(importlib.import_module(module), name)
        except ImportError:
            raise MissingExtraError.of(library, "boosting", f"the model {study.name}") from None
        made = kind()
        known = made.get_params() or None  # CatBoost tells only what was set
        unknown = [] if known is None else sorted(set(study.options) - set(known))
        if unknown:
            raise StudyError(
                f"{name} has no parameter {', '.join(unknown)}",
                expected="one of " + ", ".join(sorted(known or ())),
                where="model.options",
            )
        return kind(**{**defaults, **study.options})

    return make
