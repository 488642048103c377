"""Objects that Python code hands over in place of names and files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from memberwise.attacks.base import Attack
from memberwise.data import Dataset
from memberwise.types.arrays import Array, Arrays
from memberwise.types.parts import Plain


@dataclass(frozen=True)
class Inputs:
    """Objects that Python code hands over in place of names: data, roles' rows, a model, a target, saved answers,
    attacks."""

    dataset: Dataset | None = None
    rows: Plain = field(default_factory=dict)
    model: object = None
    target: object = None
    outputs: Arrays | None = None
    shadow_outputs: Arrays | None = None
    attacks: tuple[Attack, ...] = ()


def rows_name(rows: Array) -> str:
    """What a study calls rows that Python code gave as an array.

    ``rows``: ``(r,)`` row numbers, or a mask ``(N,)``.
    """
    return f"rows-{hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:12]}"
