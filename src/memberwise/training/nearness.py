"""How near two ways to one result must come: what is the same function differs by rounding alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memberwise.models.network import Tensors


class Nearness(NamedTuple):
    """By how much a tensor may be off: a share of its own size, and a share of all tensors' together.

    ``loss``: relative and absolute, of losses.
    """

    own: float
    whole: float
    loss: tuple[float, float]


# Two ways to compute the same in float32.
EXACT = Nearness(1e-3, 1e-5, (1e-4, 1e-5))
# Any module in two ways: batch normalisation of few records enlarges what rounding leaves (measured: to 0.8 % in
# WRN-28-2). Another function is off by its own size.
USUAL = Nearness(0.03, 0.003, (1e-2, 1e-3))
# In bfloat16 (8 bits) sums over records that cancel keep two or three bits.
HALF = Nearness(0.25, 0.05, (0.1, 0.05))
# So many times as far as another rendering in the same precision.
TIMES = 3.0
# What rounding alone leaves of the difference of two float32 numbers, as a share of them.
ROUNDING = 1e-6


def nearness(precision: torch.dtype) -> Nearness:
    """How near two ways of one training must be in this precision."""
    return EXACT if precision is torch.float32 else HALF


def far(
    values: Tensors, expected: Tensors, near: Nearness, start: Tensors | None = None, rough: Tensors | None = None
) -> str | None:
    """The first name whose values are not those expected, of any model; or None. What is no number is far.

    Args:
        values, expected: ``(m, ...)`` by name, for m models; a name that is missing is far.
        start: ``(m, ...)`` numbers of which both are changes.
        rough: the same by a way that is right, rounded as the values are: they may be ``TIMES`` as far off.
    """
    if values.keys() != expected.keys():
        return sorted(values.keys() ^ expected.keys())[0]
    sizes = {name: _sizes(value) for name, value in expected.items()}
    total = torch.as_tensor(sum(size.square() for size in sizes.values())).sqrt()
    for name, value in values.items():
        if value.shape != expected[name].shape:
            return name
        allowed = near.own * sizes[name] + near.whole * total
        if start is not None:
            allowed = allowed + ROUNDING * _sizes(start[name])
        if rough is not None and name in rough:
            allowed = allowed + TIMES * _off(rough[name], expected[name])
        if not bool((_off(value, expected[name]) <= allowed).all()):
            return name
    return None


def _off(value: Tensor, expected: Tensor) -> Tensor:
    """``(m,)`` distances; numbers that are no numbers in both are equal."""
    now, then = _numbers(value), _numbers(expected)
    off: Tensor = torch.linalg.vector_norm(
        torch.where((now == then) | (now.isnan() & then.isnan()), 0.0, now - then), dim=1
    )
    return off


def far_losses(losses: Tensor, expected: Tensor, near: Nearness) -> bool:
    """``(m,)`` losses are not those expected."""
    return not torch.allclose(losses.float(), expected.float(), *near.loss)


def _sizes(values: Tensor) -> Tensor:
    """``(m,)`` Euclidean norms of what is finite: masks of attention hold infinite numbers."""
    sizes: Tensor = torch.linalg.vector_norm(_numbers(values).nan_to_num(0.0, 0.0, 0.0), dim=1)
    return sizes


def _numbers(values: Tensor) -> Tensor:
    """``(m, k)`` float32 numbers."""
    real: Tensor = torch.view_as_real(values) if values.is_complex() else values
    return real.float().reshape(len(values), -1)
