"""The trained target, where one is given."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from memberwise.errors import StudyError, TargetError, TrainingError
from memberwise.prepare.given import Given
from memberwise.signals.asked import Asked
from memberwise.study import Study
from memberwise.targets.files import load_target
from memberwise.training.answering import Answering, EstimatorModels, TorchModels
from memberwise.training.engines import Engine, StackEngine
from memberwise.training.network import Network


def target_of(
    study: Study, given: Given, engine: Engine, asked: Asked, estimator: EstimatorModels | None = None
) -> tuple[Answering | None, str | None]:
    """The trained target, where one is given, and a hash that notices when it was trained again.

    Args:
        estimator: the target, where it is a fitted estimator.

    Raises:
        StudyError: the target is of no kind that answers. TargetError: it does not answer about the records.
    """
    example = asked.records(asked.audited[:64])
    if estimator is not None:
        try:
            answers = estimator.ask(example)
        except TrainingError as error:
            raise TargetError(
                "the target cannot answer about the data's records",
                expected=error.expected,
                found=error.found,
                where="target",
                fix=error.fix,
            ) from error
        return estimator, hashlib.sha256(np.ascontiguousarray(answers).tobytes()).hexdigest()
    if given.target is not None:
        target = _given_target(given.target)
        return target, hashlib.sha256(np.ascontiguousarray(target.ask(example)).tobytes()).hexdigest()
    if study.target.file is None:
        return None, None
    path = Path(study.target.file)
    network = engine.network if isinstance(engine, StackEngine) else None
    return load_target(path, network, asked.classes, example), hashlib.sha256(path.read_bytes()).hexdigest()


def _given_target(target: Any) -> Answering:
    """A trained module as something that answers."""
    if isinstance(target, torch.nn.Module):
        device = next((p.device for p in target.parameters()), torch.device("cpu"))
        network = Network(lambda: copy.deepcopy(target), device)
        params, buffers = network.init(0)
        return TorchModels(
            network, {k: v[None] for k, v in params.items()}, {k: v[None] for k, v in buffers.items()}, stacked=False
        )
    raise StudyError(
        "this is no trained target",
        expected="a trained nn.Module or a fitted scikit-learn classifier",
        found=type(target).__name__,
        fix="an unfitted model goes to model=",
    )
