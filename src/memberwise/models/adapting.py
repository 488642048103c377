"""A user's own module is given records as it takes them, and its logits are found in what it answers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from memberwise.data.layout import Input, Layout
from memberwise.errors import StudyError
from memberwise.models.build import Model, is_built_in
from memberwise.types.arrays import Array
from memberwise.types.foreign import Factory
from memberwise.types.parts import Plain

# Arguments of a call, by position and by name.
Call = tuple[tuple[object, ...], Plain]


def adapted_model(model: Model, layout: Layout | None, example: Array) -> Model:
    """The model, made so that it takes records of this layout and answers logits alone.

    A module is tried with whole numbers as they are before it is given float32. A training function is given the
    records as the user gave them.

    Args:
        example: ``(n, ...)`` a few float32 records, as they lie.

    Raises:
        StudyError: records of several inputs are none for this model.
    """
    several = layout is not None and layout.several
    if layout is not None and several and (model.kind == "estimator" or is_built_in(model)):
        raise StudyError(
            f"{model.name} takes one array of numbers",
            found=f"records of several inputs: {layout.words()}",
            where="model.name",
            fix="a module of your own whose forward has an argument for each (--model file.py:function), a function "
            "train(x, y, seed), or one array (n, features)",
        )
    if layout is not None and model.kind == "function":
        return replace(model, make=partial(_train, model.make, layout), code=model.code + repr(layout), takes=layout)
    if model.kind != "module" or is_built_in(model):
        return model
    with torch.random.fork_rng(devices=[]):
        form = _form(model.make(), layout, example)
    if form is None:
        return model
    takes, picks = form
    if takes is None and not picks:
        return model
    code = model.code + repr((takes, picks))
    return replace(model, make=lambda: adapted(model.make(), takes, picks), code=code, takes=takes)


def adapted_module(module: nn.Module, layout: Layout | None, example: Array) -> nn.Module:
    """A trained module, in place, so that it takes records of this layout and answers logits alone.

    ``example``: ``(n, ...)`` a few float32 records, as they lie.
    """
    form = _form(copy.deepcopy(module), layout, example)
    return module if form is None else adapted(module, *form)


def adapted(module: nn.Module, takes: Layout | None, picks: bool) -> nn.Module:
    """The module with hooks before and after its forward; parameters keep their names."""
    if takes is not None:
        module.register_forward_pre_hook(partial(_give, takes, _by_name(module, takes)), with_kwargs=True)
    if picks:
        module.register_forward_hook(_pick)
    return module


def logits_in(answer: object) -> Tensor | None:
    """The logits ``(n, C)`` in what a module answers: a tensor, a mapping or object with ``logits``, a tuple of one."""
    if isinstance(answer, Tensor):
        return answer
    if isinstance(answer, (tuple, list)) and len(answer) == 1:
        return logits_in(answer[0])
    inside = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
    return inside if isinstance(inside, Tensor) else None


def _form(module: nn.Module, layout: Layout | None, example: Array) -> tuple[Layout | None, bool] | None:
    """As what the module takes records, and whether its logits are to be picked; None: nothing was found to do."""
    for takes in _forms(layout):
        answer = _tried(adapted(copy.deepcopy(module), takes, False).eval(), example)
        if answer is not None:
            return None if logits_in(answer) is None else (takes, not isinstance(answer, Tensor))
    return (layout, False) if layout is not None and layout.several else None


@torch.no_grad()
def _tried(module: nn.Module, example: Array) -> object:
    """What the module answers about a few records; None where it fails, which is said where it is checked."""
    device = next((value.device for value in module.parameters()), torch.device("cpu"))
    try:
        return module(torch.from_numpy(np.array(example, np.float32)).to(device))
    except Exception:
        return None


def _forms(layout: Layout | None) -> list[Layout | None]:
    if layout is None or layout.several:
        return [layout]
    shape, whole = layout.inputs[0].shape, layout.inputs[0].dtype
    return [Layout((Input("", shape, kind),)) for kind in dict.fromkeys((whole, "int64"))] + [None]


def _by_name(module: nn.Module, layout: Layout) -> bool:
    """Whether forward has an argument for each input; else it is given the dictionary."""
    if not layout.several:
        return False
    arguments = inspect.signature(module.forward).parameters
    anything = any(one.kind is one.VAR_KEYWORD for one in arguments.values())
    return anything or {one.name for one in layout.inputs} <= set(arguments)


def _typed(part: Tensor, dtype: str) -> Tensor:
    return part.to(getattr(torch, dtype))


def _give(layout: Layout, by_name: bool, module: nn.Module, args: tuple[Tensor, ...], kwargs: Plain) -> Call:
    """Before forward: records as the module takes them."""
    records = layout.split(args[0], _typed)
    if by_name and isinstance(records, dict):
        return (), records | kwargs
    return (records, *args[1:]), kwargs


def _pick(module: nn.Module, args: tuple[object, ...], answer: object) -> object:
    """After forward: the logits alone."""
    logits = logits_in(answer)
    return answer if logits is None else logits


def _train(train: Factory, layout: Layout, x: Array, y: Array, seed: int) -> Factory:
    """A user's training function, given and asked about records as the user gave them."""
    return partial(_ask, train(layout.unpacked(x), y, seed), layout)


def _ask(predict: Factory, layout: Layout, x: Array) -> object:
    return predict(layout.unpacked(x))
