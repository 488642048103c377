"""Made-up raw records of a released model's kind, by which two forms of it are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from memberwise.data.columns import Column
from memberwise.data.preprocessing import Preprocessing
from memberwise.types.arrays import Array


def made_up_records(preprocessing: Preprocessing, count: int, rng: np.random.Generator) -> Any:
    """A table with the columns' own numbers and levels, missing and unknown ones too, or an array ``(count, ...)``."""
    if preprocessing.encoding is not None:
        return pd.DataFrame({one.name: _column(one, count, rng) for one in preprocessing.encoding.parts})
    size = (count, *preprocessing.shape)
    if preprocessing.shades:
        return rng.integers(0, 256, size).astype(np.uint8)
    # Whole numbers are ids, of which 0 and 1 are the only ones that every vocabulary has.
    return rng.integers(0, 2, size) if preprocessing.layout is not None else rng.normal(size=size).astype(np.float32)


def _column(column: Column, count: int, rng: np.random.Generator) -> Array:
    """``(count,)`` values of a column."""
    if column.kind == "flag":
        return rng.random(count) < 0.5
    if column.kind == "number":
        values = column.mean + column.scale * rng.normal(size=count)
        return np.rint(values) if column.whole else values
    levels = np.array([*column.levels, "never seen before", None], object)
    return np.asarray(levels[rng.integers(0, len(levels), count)])
