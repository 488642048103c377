"""Objects of libraries that state no types, by what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pandas as pd

TableColumn: TypeAlias = "pd.Series[Any]"
Estimator: TypeAlias = Any  # a classifier in scikit-learn's manner
Values: TypeAlias = Any  # an array, a DataFrame, a tensor or a list
Factory: TypeAlias = Callable[..., Any]  # makes what the caller knows how to use
