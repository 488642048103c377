"""From a model's name to something that can be trained: a module, an estimator or a training function."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from memberwise.data.layout import Layout
from memberwise.errors import MemberwiseError, StudyError
from memberwise.models import layers
from memberwise.models.layers import Shape
from memberwise.models.modules import ARCHITECTURES, Architecture
from memberwise.study.entrypoint import code_hash, is_entrypoint, raised_at
from memberwise.study.schema import ModelConfig
from memberwise.types.foreign import Estimator, Factory
from memberwise.types.parts import Plain


@dataclass(frozen=True)
class Model:
    """What is trained, again and again, for the target and every shadow model.

    Attributes:
        name: architecture's name or entry point.
        kind: "module": ``make()`` gives a fresh ``nn.Module`` that answers logits; "estimator": ``make()`` gives an
            unfitted scikit-learn classifier; "function": ``make`` is the user's ``train(x, y, seed) -> predict``.
        make: see ``kind``.
        code: SHA-256 over the code that defines it; part of every block's key.
        takes: as what it is given records that are no plain numbers; None: as float32 numbers.
    """

    name: str
    kind: Literal["module", "estimator", "function"]
    make: Factory
    code: str
    takes: Layout | None = None


def build_model(study: ModelConfig, shape: Shape, classes: int) -> Model:
    """The model that a study names.

    Raises:
        StudyError: unknown name, an architecture for images on a table, a key or option which the architecture does
            not heed, an entry point that is no model.
    """
    architecture = ARCHITECTURES.get(study.name)
    if architecture is None:
        thing = ARCHITECTURES.look_up(study.name, "model.name")
        if thing is None and not is_entrypoint(study.name):
            raise ARCHITECTURES.unknown(study.name, "model.name")
        return model_of(thing, study, shape, classes, study.name)
    if architecture.records == "images" and len(shape) not in (2, 3):
        raise StudyError(
            f"the architecture {study.name} is for images", found=f"records of shape {shape}", where="model.name"
        )
    if architecture.estimator:
        _refuse_unheeded(study, architecture)
        made = model_of(architecture.make(study, shape, classes), study, shape, classes, study.name)
        return replace(made, code=code_hash(architecture.make) + made.code)
    refuse_options(study, {})
    _refuse_unheeded(study, architecture)
    code = code_hash(architecture.make) + code_hash(layers.AsImages)
    return Model(study.name, "module", lambda: _built(architecture, study, shape, classes), code)


def _built(architecture: Architecture, study: ModelConfig, shape: Shape, classes: int) -> nn.Module:
    """Raises:
    StudyError: its layers do not fit into memory.
    """
    try:
        return architecture.make(study, shape, classes)
    except RuntimeError as error:
        if "allocate" not in str(error) and "overflow" not in str(error):
            raise
        raise StudyError(
            f"the model {study.name} does not fit into memory",
            found=f"hidden layers of {', '.join(map(str, study.hidden))}" if "hidden" in architecture.takes else None,
            where="model",
            fix="smaller layers",
        ) from error


def is_built_in(model: Model) -> bool:
    """One of the architectures above, and not the user's own of that name."""
    return any(model.code.startswith(code_hash(one.make)) for name, one in ARCHITECTURES.items() if name == model.name)


def refuse_options(study: ModelConfig, accepted: Collection[str]) -> None:
    """Options which nothing takes are an error, not silence."""
    extra = sorted(set(study.options) - set(accepted))
    if extra:
        raise StudyError(
            f"{study.name} takes no option {', '.join(extra)}",
            expected="one of " + ", ".join(accepted) if accepted else "no options",
            where="model.options",
        )


def _refuse_unheeded(study: ModelConfig, architecture: Architecture) -> None:
    for key in ("hidden", "dropout"):
        if key not in architecture.takes and getattr(study, key) != ModelConfig.model_fields[key].default:
            raise StudyError(
                f"{study.name} has no {key} to choose",
                found=str(getattr(study, key)),
                where=f"model.{key}",
                fix=f"leave model.{key} out, or take a model of your own: file.py:function",
            )


def model_of(thing: Estimator, study: ModelConfig, shape: Shape, classes: int, name: str) -> Model:
    """A model from a user's factory, class, unfitted estimator or training function."""
    code = code_hash(thing)
    if _is_estimator(thing):
        refuse_no_classifier(thing, "model.name")

        described = hashlib.sha256(repr(sorted(thing.get_params().items(), key=str)).encode()).hexdigest()
        return Model(name, "estimator", lambda: fresh(thing), code + described)
    if isinstance(thing, nn.Module) or not callable(thing):
        raise StudyError(
            "a model that can be trained again is needed",
            expected="a function or class that makes a fresh nn.Module, an unfitted scikit-learn classifier, "
            "or a function train(x, y, seed) -> predict",
            found=f"an object of type {type(thing).__name__}",
            where=name,
            fix="pass a function that makes the module; a trained one goes to target=",
        )
    parameters = _parameters(thing, name)
    if [name.lower() for name in parameters][:3] == ["x", "y", "seed"]:
        return Model(name, "function", thing, code)
    offered = {"shape": shape, "classes": classes} | study.options
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        refuse_options(study, [p for p in parameters if p not in ("shape", "classes")])
        offered = {key: value for key, value in offered.items() if key in parameters}
    made = _call_factory(thing, offered, name)
    if _is_estimator(made):
        refuse_no_classifier(made, "model.name")
        return Model(name, "estimator", lambda: _made(thing, offered, name), code)
    if not isinstance(made, nn.Module):
        raise StudyError(
            f"{name} makes no model", expected="an nn.Module or a scikit-learn classifier", found=type(made).__name__
        )
    return Model(name, "module", lambda: _made(thing, offered, name), code + _layout(made))


def _layout(module: nn.Module) -> str:
    """A hash of a module's parts and shapes, which may come from files or values beside the code that names it."""
    named = list(module.named_parameters())
    shapes = [(name, is_lazy(value) or tuple(value.shape), value.requires_grad) for name, value in named]
    return hashlib.sha256(repr((str(module), shapes)).encode()).hexdigest()


def _parameters(factory: Factory, name: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (ValueError, TypeError) as error:  # built in, written in C
        raise StudyError(f"{name} makes no model", found=str(error), fix="a function that makes it") from error


def _call_factory(factory: Factory, offered: Plain, name: str) -> Any:
    """The first model of a factory.

    Raises:
        StudyError: it wants arguments that nobody gives, or raises.
    """
    try:
        inspect.signature(factory).bind(**offered)
    except TypeError as error:
        raise StudyError(
            f"{name} cannot be called to make a model",
            expected="arguments with defaults, or named shape (of a record), classes, or given in model.options",
            found=f"{type(error).__name__}: {error}",
        ) from error
    with torch.random.fork_rng(devices=[]):  # the caller's generator is the caller's
        return _made(factory, offered, name)


def _made(factory: Factory, offered: Plain, name: str) -> Any:
    """A model of the factory; whatever goes wrong inside is the factory's.

    Raises:
        StudyError: with the line of the user's code.
    """
    try:
        return factory(**offered)
    except (MemberwiseError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise StudyError(
            f"{name} raises an error instead of making a model",
            found=f"{type(error).__name__}: {first}",
            where=raised_at(error, "model.name"),
            fix="call it by itself until it makes a model; --debug shows the traceback",
        ) from error


def fresh(estimator: Estimator) -> Estimator:
    """An unfitted estimator with the same parameters."""
    from sklearn.base import clone

    try:
        return clone(estimator)
    except RuntimeError:  # CatBoost copies its lists of columns, which clone takes for a fault
        return type(estimator)(**copy.deepcopy(estimator.get_params(deep=False)))


def refuse_no_classifier(estimator: Estimator, where: str) -> None:
    """Raises:
    StudyError: the estimator says that it is something else (a regressor, a clusterer), also at a pipeline's end, or
        predicts nothing.
    """
    kind = _estimator_kind(estimator)
    if kind == "classifier" or (kind is None and hasattr(type(estimator), "predict")):
        return
    raise StudyError(
        f"{type(estimator).__name__} is no classifier",
        expected="a classifier: what it predicts are classes",
        found=(kind or "transformer").replace("_", " "),
        where=where,
        fix="memberwise audits classifiers; is there one of the same name (...Classifier for ...Regressor)?",
    )


def _estimator_kind(estimator: Estimator) -> str | None:
    """What an estimator says it is: "classifier", "regressor", ..., or None where it says nothing."""
    from sklearn.utils import get_tags

    try:
        kind = get_tags(estimator).estimator_type
    except Exception:  # estimators of other libraries may know no tags, or tell them only once fitted
        kind = getattr(estimator, "_estimator_type", None)
    return kind if isinstance(kind, str) else None


def _is_estimator(thing: Estimator) -> bool:
    return not isinstance(thing, type) and hasattr(thing, "fit") and hasattr(thing, "get_params")
