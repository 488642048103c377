"""The trained target, where one is given."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.errors import StudyError
from memberwise.prepare.given import Given
from memberwise.signals.asked import Asked
from memberwise.study import Study
from memberwise.targets.files import load_target
from memberwise.training.answering import Answering, EstimatorModels, TorchModels
from memberwise.training.engines import Engine, StackEngine
from memberwise.training.network import Network


def target_of(study: Study, given: Given, engine: Engine, asked: Asked) -> tuple[Answering | None, str | None]:
    """The trained target, where one is given, and a hash that notices when it was trained again."""
    example = asked.records(asked.audited[:64])
    if given.target is not None:
        target = _given_target(given.target, asked.classes)
        return target, hashlib.sha256(np.ascontiguousarray(target.ask(example)).tobytes()).hexdigest()
    if study.target.file is None:
        return None, None
    path = Path(study.target.file)
    network = engine.network if isinstance(engine, StackEngine) else None
    return load_target(path, network, asked.classes, example), hashlib.sha256(path.read_bytes()).hexdigest()


def stored_accuracy(study: Study) -> float | None:
    """The accuracy on its training records that was stored beside the target's file, where it is about this file."""
    if study.target.file is None:
        return None
    path = Path(study.target.file)
    try:
        facts = json.loads((path.parent / "metadata.json").read_text("utf-8"))
        same = facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        return float(facts["train_accuracy"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _given_target(target: Any, classes: int) -> Answering:
    """A trained module or fitted estimator as something that answers."""
    if isinstance(target, torch.nn.Module):
        device = next((p.device for p in target.parameters()), torch.device("cpu"))
        network = Network(lambda: copy.deepcopy(target), device)
        params, buffers = network.init(0)
        return TorchModels(
            network, {k: v[None] for k, v in params.items()}, {k: v[None] for k, v in buffers.items()}, stacked=False
        )
    if hasattr(target, "predict") and hasattr(target, "classes_"):
        return EstimatorModels([target], classes)
    raise StudyError(
        "this is no trained target",
        expected="a trained nn.Module or a fitted scikit-learn classifier",
        found=type(target).__name__,
        fix="an unfitted model goes to model=",
    )
