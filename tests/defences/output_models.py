"""Small models for the tests of output defences."""

from __future__ import annotations

from typing import Any

import numpy as np

from memberwise.defences.output.served import DefendedTarget
from memberwise.study.schema import OutputDefenceConfig
from memberwise.targets.models import FunctionModels

KEY = b"a secret"


def linear(
    models: int = 1, classes: int = 10, features: int = 6, scale: float = 4.0, seed: int = 0, kind: str = "logits"
) -> FunctionModels:
    """Models that answer linear functions of records (as probabilities where so asked)."""
    weights = np.random.default_rng(seed).normal(size=(models, features, classes)) * scale / np.sqrt(features)

    def one(w: Any) -> Any:
        def predict(x: Any) -> Any:
            z = x.reshape(len(x), -1).astype(np.float64) @ w
            return z if kind == "logits" else np.exp(z) / np.exp(z).sum(-1, keepdims=True)

        return predict

    return FunctionModels([one(w) for w in weights], kind)  # type: ignore[arg-type]


def given(logits: Any) -> tuple[FunctionModels, Any]:
    """One model that answers the rows of ``(n, C)`` in order: a record is its row's number."""
    return FunctionModels([lambda x: logits[x[:, 0].astype(int)]], "logits"), rows(len(logits))


def rows(n: Any) -> Any:
    return np.arange(n, dtype=np.float32)[:, None]


def records(n: int = 50, features: int = 6, seed: int = 1) -> Any:
    return np.random.default_rng(seed).random((n, features)).astype(np.float32)


def served(
    models: Any, *defences: Any, key: Any = KEY, seeds: Any = None, members: Any = None, reference: Any = None
) -> Any:
    """The models behind defences, fitted on made-up members."""
    members = records(60, seed=2) if members is None else members
    reference = records(60, seed=3) if reference is None else reference
    seeds = range(len(models)) if seeds is None else seeds
    return DefendedTarget.fitted(models, defences, lambda i: members, reference, key, list(seeds))


def study(name: Any, **parameters: Any) -> OutputDefenceConfig:
    return OutputDefenceConfig(name=name, **parameters)
