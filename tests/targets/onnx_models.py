"""Small ONNX classifiers, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
Output = tuple[str, int, Sequence[Any]]


def save(path: Path, nodes: Sequence[Any], inputs: Sequence[Output], outputs: Sequence[Output], **arrays: Any) -> Path:
    """A graph of these nodes with these (name, type, shape) inputs and outputs, and constants by name."""
    info = helper.make_tensor_value_info
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    graph = helper.make_graph(nodes, "g", [info(*one) for one in inputs], [info(*one) for one in outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


def linear(
    path: Path, w: np.ndarray, *, batch: Any = "n", kind: int = FLOAT, shape: Sequence[Any] | None = None, end: str = ""
) -> Path:
    """Records of any numeric type, flattened, times ``w`` ``(d, C)``, perhaps through a last operator."""
    nodes = [
        helper.make_node("Cast", ["x"], ["xf"], to=FLOAT),
        helper.make_node("Flatten", ["xf"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["z"]),
        *([helper.make_node(end, ["z"], ["p"])] if end else []),
    ]
    taken = ("x", kind, [batch, *(shape or [len(w)])])
    return save(path, nodes, [taken], [("p" if end else "z", FLOAT, [batch, w.shape[1]])], w=w.astype(np.float32))
