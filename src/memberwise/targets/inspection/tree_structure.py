"""Trees of a file, followed node by node: that every step stays within them is checked before they are asked."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from memberwise.errors import TargetError
from memberwise.targets.inspection.walk import parts_of
from memberwise.types.arrays import Array
from memberwise.types.foreign import Tree, TreePredictor

TREE = "sklearn.tree._tree.Tree"
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
SEARCH = ("sklearn.neighbors._kd_tree.KDTree", "sklearn.neighbors._ball_tree.BallTree")
# Distances that compute with the two records alone.
PLAIN = tuple(f"sklearn.metrics._dist_metrics.{name}Distance64" for name in ("Euclidean", "Manhattan", "Chebyshev"))
# Types that are trusted by name once their structure is checked.
CHECKED = (TREE, PREDICTOR, *SEARCH, *PLAIN)


def check_trees(estimator: object, where: str) -> int:
    """How many trees there are; each is checked.

    Raises:
        TargetError: a tree's arrays do not fit each other, or a node leads out of it or back.
    """
    count, features = 0, getattr(estimator, "n_features_in_", None)
    for path, part in parts_of(estimator):
        features = getattr(part, "n_features_in_", features) if hasattr(part, "get_params") else features
        if _is_tree(part):
            fault = _fault_of_tree(part)
        elif _is_predictor(part):
            fault = _fault_of_predictor(part, features)
        elif _kind(part) in SEARCH:
            fault = _fault_of_search(part)
        else:
            continue
        count += 1
        if fault is not None:
            raise TargetError(
                "a tree of the file is not what a tree can be, so nothing is asked of it",
                found=fault,
                where=f"{where}, {path}",
                fix="save the model again; if the file is not your own, do not use it",
            )
    return count


def _kind(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _is_tree(part: object) -> TypeGuard[Tree]:
    return _kind(part) == TREE


def _is_predictor(part: object) -> TypeGuard[TreePredictor]:
    return _kind(part) == PREDICTOR


def _fault_of_tree(tree: Tree) -> str | None:
    # node_count is a number of the file: until it is known to fit, no array of that length is made.
    nodes = int(tree.node_count)
    if nodes < 1 or nodes != int(tree.capacity):
        return f"{nodes} nodes said, {int(tree.capacity)} there"
    classes = np.asarray(tree.n_classes)
    if len(classes) != tree.n_outputs or (classes < 1).any():
        return f"{classes.tolist()} classes for {tree.n_outputs} outputs"
    if np.shape(tree.value) != (nodes, tree.n_outputs, int(classes.max())) or not np.isfinite(tree.value).all():
        return "values of another shape, or no numbers"
    return _fault(tree.children_left, tree.children_right, tree.feature, int(tree.n_features), tree.children_left == -1)


def _fault_of_predictor(part: TreePredictor, features: int | None) -> str | None:
    nodes = part.nodes
    names = {"left", "right", "feature_idx", "is_leaf", "is_categorical", "bitset_idx", "value"}
    if (
        not isinstance(nodes, np.ndarray)
        or nodes.ndim != 1
        or not len(nodes)
        or not names <= {*(nodes.dtype.names or ())}
    ):
        return "nodes of another kind"
    leaf = nodes["is_leaf"].astype(bool)
    left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    bits = [getattr(part, name, np.zeros((0, 8))) for name in ("binned_left_cat_bitsets", "raw_left_cat_bitsets")]
    bitsets = nodes["bitset_idx"][nodes["is_categorical"].astype(bool) & ~leaf]
    if any(np.ndim(one) != 2 or np.shape(one)[1] != 8 or (bitsets >= len(one)).any() for one in bits):
        return "categories that are not there"
    known = features if features is not None else int(nodes["feature_idx"].max()) + 1
    return _fault(left, right, nodes["feature_idx"].astype(np.int64), known, leaf)


def _fault_of_search(tree: Any) -> str | None:
    """A tree for finding neighbours: node i has the children 2 i + 1 and 2 i + 2, and a range of the records."""
    data, order, nodes, bounds, _, levels, count, *_ = tree.__getstate__()
    data, order, nodes, bounds = (np.asarray(part) for part in (data, order, nodes, bounds))
    records = len(data)
    if data.ndim != 2 or count < 1 or len(nodes) != count or count != 2**levels - 1:
        return f"{count} nodes said, {len(nodes)} there"
    if bounds.ndim != 3 or bounds.shape[1:] != (count, data.shape[1]):
        return f"bounds of shape {bounds.shape}"
    if not np.array_equal(np.sort(order), np.arange(records)):
        return "records that are not there"
    first, last = nodes["idx_start"], nodes["idx_end"]
    if ((first < 0) | (last < first) | (last > records)).any():
        return "a node whose records are not there"
    inner = ~nodes["is_leaf"].astype(bool)
    return "a node whose child is not in the tree" if (2 * np.flatnonzero(inner) + 2 >= count).any() else None


def _fault(left: Array, right: Array, feature: Array, features: int, leaf: Array) -> str | None:
    """Children come after their parents and exist, so that every way down ends; features are some of the records'."""
    places = np.arange(len(left))
    if ((right == -1) != leaf).any():
        return "a node with one child"
    for side in (left, right):
        if ((side <= places) | (side >= len(left)))[~leaf].any():
            return "a node whose child is not in the tree, or above it"
    if ((feature < 0) | (feature >= features))[~leaf].any():
        return f"a node that asks for a feature beyond {features}"
    return None
