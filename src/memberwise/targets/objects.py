"""A trained target that Python code hands over, by the kind of object it is."""

from __future__ import annotations

import copy
from typing import cast, get_args

import numpy as np
import torch

from memberwise.errors import StudyError, TargetError
from memberwise.models.adapting import adapted_module
from memberwise.models.network import Network
from memberwise.models.one_logit import widened_module
from memberwise.targets.base import Kind, Target
from memberwise.targets.files import check_answers
from memberwise.targets.functions import NAME, Predict, function_target, predictor_target
from memberwise.targets.kinds import ObjectKind, TargetContext
from memberwise.targets.weights import module_target


def object_target(thing: object, context: TargetContext) -> Target:
    """The object as something that answers.

    Raises:
        StudyError: it is of no kind that answers. TargetError: it does not answer about the data's records.
    """
    kind = None if _is_unfitted(thing) else next((kind for kind in OBJECT_KINDS if kind.takes(thing)), None)
    if kind is None:
        *words, last = (kind.words for kind in OBJECT_KINDS)
        raise StudyError(
            "this is no trained target",
            expected=f"a fitted scikit-learn classifier, {', '.join(words)} or {last}",
            found=type(thing).__name__,
            fix="an unfitted model goes to model=",
        )
    return kind.load(thing, context)


def _is_unfitted(thing: object) -> bool:
    """A class, or an estimator: one that is fitted was taken before."""
    return isinstance(thing, type) or hasattr(thing, "get_params")


def _load_target(thing: object, context: TargetContext) -> Target:
    target = cast(Target, thing)
    if getattr(target, "kind", None) not in get_args(Kind):
        raise TargetError(
            f"{type(target).__name__} does not say what it answers",
            expected="the attribute kind, one of " + ", ".join(get_args(Kind)),
            found=repr(getattr(target, "kind", None)),
        )
    if len(target) != 1:
        raise TargetError("a target is one model", found=f"{type(target).__name__} of {len(target)} models")
    check_answers(target, NAME, context.example, context.classes)
    if target.kind == "labels" and np.shape(target.predict(context.example)) != (1, len(context.example)):
        raise TargetError(
            f"{NAME} does not answer one label a record",
            expected=f"shape {(1, len(context.example))}",
            found=f"shape {np.shape(target.predict(context.example))}",
        )
    return target


def _load_module(thing: object, context: TargetContext) -> Target:
    target = cast(torch.nn.Module, thing)
    device = next((p.device for p in target.parameters()), torch.device("cpu"))
    module = adapted_module(copy.deepcopy(target), context.dataset.layout, context.example)
    if context.classes == 2 and context.dataset.label_sets is None:
        module = widened_module(module, context.example)
    network = Network(lambda: module, device)
    network.labels_apart = context.dataset.label_sets is not None
    models = module_target(module, network, context.example)
    check_answers(models, NAME, context.example, context.classes)
    return models


def _load_function(thing: object, context: TargetContext) -> Target:
    return function_target(cast(Predict, thing), context)


def _predicts(thing: object) -> bool:
    return callable(getattr(thing, "predict_proba", None)) or callable(getattr(thing, "predict", None))


# The first that takes an object has it.
OBJECT_KINDS: tuple[ObjectKind, ...] = (
    ObjectKind("a trained nn.Module", lambda thing: isinstance(thing, torch.nn.Module), _load_module),
    ObjectKind("a Target", lambda thing: isinstance(thing, Target), _load_target),
    ObjectKind("an object with predict_proba or predict", _predicts, predictor_target),
    ObjectKind(
        "a function of records", callable, lambda thing, context: function_target(cast(Predict, thing), context)
    ),
)


def is_function(thing: object) -> bool:
    """Whether an object is asked as a plain function of records."""
    return callable(thing) and not any(kind.takes(thing) for kind in OBJECT_KINDS[:-1])
