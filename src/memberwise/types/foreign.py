"""Objects of libraries that state no types, by what of them is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from memberwise.types.arrays import Array, DType, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

TableColumn: TypeAlias = "pd.Series[Any]"
ColumnType: TypeAlias = Any  # NumPy's, or one of pandas' own
Estimator: TypeAlias = Any  # a classifier in scikit-learn's manner
Values: TypeAlias = Any  # an array, a DataFrame, a tensor or a list
Factory: TypeAlias = Callable[..., Any]  # makes what the caller knows how to use


class Sparse(Protocol):
    """A sparse matrix or array of scipy."""

    shape: tuple[int, ...]
    dtype: DType

    def toarray(self) -> Array:
        """All its values, ``(n, d)``."""


class OnnxInput(Protocol):
    """An input of an ONNX model, as onnxruntime describes it; a size is a number, or a name where it is free."""

    name: str
    type: str
    shape: Sequence[int | str | None]


class LightGbmBooster(Protocol):
    """LightGBM's own model."""

    params: dict[str, Any]

    def current_iteration(self) -> int:
        """How many rounds it was trained."""

    def num_feature(self) -> int:
        """How many features it takes."""

    def num_model_per_iteration(self) -> int:
        """How many trees a round has: one a class, or one for two classes."""

    def feature_name(self) -> list[str]:
        """What the features are called."""

    def predict(self, x: Values, /) -> Values:
        """Probabilities of ``n`` records."""


class Tree(Protocol):
    """scikit-learn's tree: arrays with a value a node; a leaf's children are -1."""

    node_count: int
    capacity: int
    n_outputs: int
    n_features: int
    n_classes: Ints
    children_left: Ints
    children_right: Ints
    feature: Ints
    value: Floats
    n_node_samples: Ints
    weighted_n_node_samples: Floats


class TreePredictor(Protocol):
    """A tree of scikit-learn's histogram boosting: one structured array of nodes."""

    nodes: Array
