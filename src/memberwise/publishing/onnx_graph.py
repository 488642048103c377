"""The nodes of an ONNX graph, one after another, and those by which raw records become features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from memberwise.data.columns import Column
from memberwise.data.preprocessing import Preprocessing
from memberwise.errors import TargetError
from memberwise.types.arrays import Array, Arrays

FEATURES, RECORDS, ANSWERS = "features", "records", "answers"


@dataclass
class Graph:
    """Nodes, constants, and the value that was computed last."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    last: str = ""
    count: int = 0

    def node(
        self, op: str, inputs: Sequence[str], outputs: int = 1, names: Sequence[str] = (), **attributes: Any
    ) -> list[str]:
        """Add a node; the names of its outputs."""
        from onnx import helper

        self.count += 1
        made = list(names) or [f"memberwise.{self.count}.{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, **attributes))
        self.last = made[0]
        return made

    def then(self, op: str, *constants: Any, **attributes: Any) -> None:
        """Add a node of the last value and constants."""
        self.node(op, [self.last, *(self.constant(value) for value in constants)], **attributes)

    def constant(self, value: Any) -> str:
        """Add a constant; its name."""
        from onnx import numpy_helper

        self.count += 1
        name = f"memberwise.{self.count}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def preprocessing_nodes(preprocessing: Preprocessing) -> tuple[list[Any], Graph]:
    """The graph's inputs, and the nodes that make ``features`` of them.

    A table has an input a column: doubles, booleans and texts ``(records, 1)``; a missing text is "". Other records are
    one input ``records``.

    Raises:
        TargetError: records of several inputs; a column with a level that is the empty text beside a missing one.
    """
    from onnx import TensorProto, helper

    graph = Graph()
    if preprocessing.layout is not None and preprocessing.layout.several:
        raise TargetError(
            "records of several inputs cannot go into an ONNX file yet",
            found=preprocessing.layout.words(),
            where="export --to onnx",
            fix="serve the folder by the gateway (memberwise serve)",
        )
    if preprocessing.encoding is None:
        whole = preprocessing.layout is not None
        kind = TensorProto.UINT8 if preprocessing.shades else TensorProto.INT64 if whole else TensorProto.FLOAT
        graph.last = RECORDS
        graph.then("Cast", to=TensorProto.FLOAT)
        if preprocessing.shades:
            graph.then("Div", np.float32(255))
        graph.node("Identity", [graph.last], names=[FEATURES])
        return [helper.make_tensor_value_info(RECORDS, kind, ["records", *preprocessing.shape])], graph
    kinds = {"number": TensorProto.DOUBLE, "flag": TensorProto.BOOL, "category": TensorProto.STRING}
    columns = preprocessing.encoding.parts
    inputs = [helper.make_tensor_value_info(one.name, kinds[one.kind], ["records", 1]) for one in columns]
    parts = [_column(graph, one) for one in preprocessing.encoding.in_order() if one.features]
    graph.node("Concat", parts, names=[FEATURES], axis=1)
    return inputs, graph


def _column(graph: Graph, column: Column) -> str:
    """The features of one column, ``(records, k)`` float32."""
    from onnx import TensorProto

    graph.last = column.name
    if column.kind == "category":
        places = _places(column)
        graph.last = graph.node(
            "LabelEncoder",
            [column.name],
            domain="ai.onnx.ml",
            keys_strings=list(places),
            values_int64s=list(places.values()),
            default_int64=-1,
        )[0]
        graph.then("Equal", np.arange(len(column.levels))[None])
    elif column.kind == "number":
        graph.then("Sub", np.float64(column.mean))
        graph.then("Div", np.float64(column.scale))
    graph.then("Cast", to=TensorProto.FLOAT)
    return graph.last


def _places(column: Column) -> dict[str, int]:
    """The place of each text among a column's levels; whole numbers may be written with ".0"."""
    if None in column.levels and "" in column.levels:
        raise TargetError(
            "a column has both a missing and an empty text, which ONNX does not tell apart",
            where=f"export --to onnx, column {column.name}",
            fix="serve the folder by the gateway (memberwise serve)",
        )
    places = {"" if level is None else level: place for place, level in enumerate(column.levels)}
    return {f"{text}.0": place for text, place in places.items() if text} | places


def feed_of(preprocessing: Preprocessing, records: Any) -> Arrays:
    """Raw records as the file takes them."""
    if preprocessing.encoding is None:
        kind = np.uint8 if preprocessing.shades else np.int64 if preprocessing.layout is not None else np.float32
        return {RECORDS: _moved(np.asarray(records), preprocessing.shape).astype(kind)}
    frame = pd.DataFrame(records).rename(columns=str)
    kinds = {"number": _doubles, "flag": _doubles, "category": _texts}
    feed = {one.name: kinds[one.kind](frame[one.name])[:, None] for one in preprocessing.encoding.parts}
    flags = [one.name for one in preprocessing.encoding.parts if one.kind == "flag"]
    return feed | {name: feed[name].astype(bool) for name in flags}


def _moved(array: Array, shape: tuple[int, ...]) -> Array:
    """Images with channels last, with channels first."""
    last = (*shape[1:], *shape[:1])
    return np.moveaxis(array, -1, 1) if len(shape) == 3 and array.shape[1:] == last != shape else array


def _doubles(values: Any) -> Array:
    return np.asarray(values.to_numpy(np.float64))


def _texts(values: Any) -> Array:
    return np.array(["" if gap else str(value) for value, gap in zip(values, values.isna(), strict=True)], object)
