"""Leaves of trees, and parameters against records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

import numpy as np

from memberwise.targets.inspection.findings import Finding
from memberwise.targets.inspection.walk import parts_of
from memberwise.types.arrays import Array
from memberwise.types.foreign import Tree, TreePredictor

BIGGER = "min_samples_leaf={least} (LightGBM: min_child_samples), or shallower trees"


def leaves_of(name: str, part: object, least: int) -> Iterator[Finding]:
    """Small leaves, and leaves of one class, of one estimator that is made of trees."""
    members = _leaf_members(part)
    if members is not None and len(members):
        small = int((members < least).sum())
        if small:
            yield Finding(
                code="small-leaves",
                part=name,
                count=small,
                message=f"{small:,} of {len(members):,} leaves have fewer than {least} members, the smallest "
                f"{int(members.min())}: what is answered there is about so few people",
                fix=BIGGER.format(least=least),
            )
    pure = _pure_leaves(part)
    if pure is not None and pure[0]:
        yield Finding(
            code="class-disclosure",
            part=name,
            count=pure[0],
            message=f"{pure[0]:,} of {pure[1]:,} leaves hold members of one class alone: whoever knows that a record "
            "was trained on and where it falls knows its class",
            fix=BIGGER.format(least=least) + ", and answers that are averaged over many trees",
        )


def parameters_of(name: str, estimator: object, records: int | None) -> Iterator[Finding]:
    """More fitted numbers than records."""
    count = _parameters(estimator)
    if records is not None and count > records:
        yield Finding(
            code="parameters",
            part=name,
            count=count,
            message=f"it has {count:,} fitted numbers for {records:,} records, enough to remember each",
            fix="fewer features, smaller layers, fewer or shallower trees, or more records",
        )


def records_of_trees(estimator: object) -> int | None:
    """How many different records the largest root saw, at least."""
    roots = [_root(part) for _, part in parts_of(estimator) if _is_tree(part)]
    roots += [int(part.nodes["count"][0]) for _, part in parts_of(estimator) if _is_predictor(part)]
    return max(roots, default=None)


def _root(tree: Tree) -> int:
    """Records of a tree: of a bootstrap those that were drawn, the repeated ones too."""
    different, drawn = int(tree.n_node_samples[0]), round(float(tree.weighted_n_node_samples[0]))
    return drawn if different < drawn <= 2 * different else different


def _leaf_members(part: object) -> Array | None:
    """``(leaves,)``: training records in each leaf of the trees that belong to this estimator itself."""
    tree = getattr(part, "tree_", None)
    if tree is not None and _is_tree(tree):
        return np.asarray(tree.n_node_samples[tree.children_left == -1])
    predictors = vars(part).get("_predictors")
    if predictors:
        nodes = [one.nodes for row in predictors for one in row]
        return np.concatenate([each["count"][each["is_leaf"].astype(bool)] for each in nodes]).astype(np.int64)
    inside = trees_inside(part)
    if inside:
        return np.concatenate([tree.n_node_samples[tree.children_left == -1] for tree in inside])
    booster = vars(part).get("booster_", getattr(part, "_Booster", None))  # of a file, or fitted here
    if (
        booster is not None
        and hasattr(booster, "trees_to_dataframe")
        and type(booster).__module__.startswith("lightgbm")
    ):
        frame = booster.trees_to_dataframe()
        return np.asarray(frame.loc[frame["left_child"].isna(), "count"], np.int64)
    return None


def _pure_leaves(part: object) -> tuple[int, int] | None:
    """How many leaves are of one class, and how many there are; of trees that answer classes."""
    tree = getattr(part, "tree_", None)
    trees = [tree] if _is_tree(tree) else trees_inside(part)
    trees = [tree for tree in trees if int(np.max(tree.n_classes)) > 1]
    if not trees:
        return None
    pure = leaves = 0
    for tree in trees:
        at = tree.children_left == -1
        share = tree.value[at] / np.maximum(tree.value[at].sum(-1, keepdims=True), 1e-300)
        pure, leaves = pure + int((share.max(-1) >= 1 - 1e-12).all(1).sum()), leaves + int(at.sum())
    return pure, leaves


def trees_inside(part: object) -> list[Tree]:
    """The trees of an ensemble's members; empty where it is none."""
    members = vars(part).get("estimators_") if hasattr(part, "__dict__") else None
    if members is None or not isinstance(members, (list, np.ndarray)):
        return []
    trees = [getattr(one, "tree_", None) for one in np.ravel(np.asarray(members, object))]
    return [tree for tree in trees if _is_tree(tree)]


def _parameters(estimator: object) -> int:
    """Fitted numbers: coefficients, weights, and two for every inner node and one for every leaf's class."""
    count = 0
    for _, part in parts_of(estimator):
        if _is_tree(part):
            leaves = int((part.children_left == -1).sum())
            count += 2 * (int(part.node_count) - leaves) + leaves * max(1, int(np.max(part.n_classes)) - 1)
        elif _is_predictor(part):
            leaves = int(part.nodes["is_leaf"].sum())
            count += 2 * (len(part.nodes) - leaves) + leaves
        elif hasattr(part, "get_params"):
            for name in ("coef_", "intercept_", "coefs_", "intercepts_", "theta_", "var_", "dual_coef_"):
                values = vars(part).get(name)
                arrays = values if isinstance(values, list) else [values]
                count += sum(int(np.size(one)) for one in arrays if isinstance(one, np.ndarray))
    return count


def _is_tree(part: object) -> TypeGuard[Tree]:
    return type(part).__module__ == "sklearn.tree._tree" and hasattr(part, "n_node_samples")


def _is_predictor(part: object) -> TypeGuard[TreePredictor]:
    return type(part).__name__ == "TreePredictor" and hasattr(part, "nodes")
