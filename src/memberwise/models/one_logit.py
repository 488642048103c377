"""Models of two classes that answer one number a record: the logit of the second class, or its probability."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from memberwise.models.build import Model
from memberwise.types.arrays import Array

Number = Literal["logits", "probabilities"]
# Parameters so many times as large: what stays within 0 and 1 is a probability.
SCALES = (1.0, 4.0, 30.0)


def is_one_number(shape: tuple[int, ...], records: int) -> bool:
    """Whether answers ``(n,)`` or ``(n, 1)`` are one number a record."""
    return shape in ((records,), (records, 1))


def number_kind(values: Array) -> Number:
    """What ``(n,)`` or ``(n, 1)`` numbers are: probabilities where all lie within 0 and 1, else logits."""
    return "probabilities" if values.min(initial=0.0) >= 0 and values.max(initial=0.0) <= 1 else "logits"


def two_columns(values: Array, kind: Number) -> Array:
    """A logit z becomes (0, z), a probability p becomes (1 - p, p): ``(n, 2)`` of ``(n,)`` or ``(n, 1)``."""
    second = values.reshape(len(values), 1)
    return np.concatenate([np.zeros_like(second) if kind == "logits" else 1 - second, second], 1)


def widened_model(model: Model, example: Array) -> Model:
    """The model of two classes, made to answer about both where its module answers one number.

    ``example``: ``(n, ...)`` float32 records, as they lie.
    """
    if model.kind != "module":
        return model
    with torch.random.fork_rng(devices=[]):
        kind = _kind(model.make(), example)
    if kind is None:
        return model
    return replace(model, make=lambda: widened(model.make(), kind), code=f"{model.code}one number: {kind}")


def widened_module(module: nn.Module, example: Array) -> nn.Module:
    """A trained module of two classes, in place, made to answer about both where it answers one number.

    ``example``: ``(n, ...)`` float32 records, as they lie.
    """
    kind = _kind(module, example)
    return module if kind is None else widened(module, kind)


def widened(module: nn.Module, kind: Number) -> nn.Module:
    """The module with a hook after its forward; parameters keep their names."""
    module.register_forward_hook(partial(_widen, kind))
    return module


def _widen(kind: Number, module: nn.Module, args: object, answer: Tensor) -> Tensor:
    second = answer.reshape(-1, 1)
    return torch.cat([torch.zeros_like(second) if kind == "logits" else 1 - second, second], 1)


@torch.no_grad()
def _kind(module: nn.Module, example: Array) -> Number | None:
    """What the one number is; None where the module answers otherwise, or fails, which is said where it is checked."""
    trial = copy.deepcopy(module).eval()
    device = next((value.device for value in trial.parameters()), torch.device("cpu"))
    x, values = torch.from_numpy(np.array(example, np.float32)).to(device), []
    before = [value.clone() for value in trial.parameters()]
    for scale in SCALES:
        for value, first in zip(trial.parameters(), before, strict=True):
            value.copy_(scale * first)
        try:
            answer = trial(x)
        except Exception:
            return None
        if not isinstance(answer, Tensor) or not is_one_number(tuple(answer.shape), len(x)):
            return None
        values.append(answer.double().cpu().numpy().reshape(-1))
    # Of logits that happen to lie within 0 and 1, too, few are left where weights are larger.
    return number_kind(np.concatenate(values))
