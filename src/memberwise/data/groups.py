"""Groups of records by one column or several: names of the crossing, and from these every coarser division."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from memberwise.data.labels import texts
from memberwise.types.arrays import Array

AND, MISSING = " & ", "(missing)"


def group_columns(group: str, columns: Sequence[str]) -> list[str]:
    """The columns that a study's ``data.group`` names: one, or several by commas."""
    return [group] if group in columns else [part.strip() for part in group.split(",")]


def crossed(frame: pd.DataFrame, columns: Sequence[str]) -> Array:
    """``(n,)`` names of groups: the values of one column, or "sex=F & age=old" of several."""
    values = [texts(frame[name].astype(object).where(frame[name].notna(), MISSING)) for name in columns]
    if len(columns) == 1:
        return values[0]
    named = [
        [f"{name}={str(value).replace(AND, ' and ')}" for value in part]
        for name, part in zip(columns, values, strict=True)
    ]
    return np.array([AND.join(parts) for parts in zip(*named, strict=True)])


def divisions(groups: Array) -> list[Array]:
    """Every division of the records by some of the columns that ``crossed`` joined, the coarsest first.

    Args:
        groups: ``(n,)`` as ``crossed`` gives them.
    """
    names, codes = np.unique(groups, return_inverse=True)
    parts = [str(name).split(AND) for name in names]
    columns = len(parts[0]) if len({len(part) for part in parts}) == 1 else 1
    if columns == 1:
        return [groups]
    chosen = [places for size in range(1, columns + 1) for places in combinations(range(columns), size)]
    return [np.array([AND.join(part[i] for i in places) for part in parts])[codes] for places in chosen]
