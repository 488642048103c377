"""An ONNX target of several inputs gets each by its name and in its type."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from memberwise.data import from_object
from memberwise.errors import TargetError
from memberwise.targets.files import load_target
from memberwise.targets.kinds import TargetContext

RNG = np.random.default_rng(0)
IDS, MASK = RNG.integers(0, 30_000, (12, 2)), RNG.random((12, 2)).astype(np.float32)


def saved(path: Path) -> Path:
    """Logits are the ids / 30,000 plus the mask."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["whole", "scale"], ["small"]),
        helper.make_node("Add", ["small", "mask"], ["logits"]),
    ]
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [1], [30_000.0])
    inputs = [
        helper.make_tensor_value_info("mask", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [None, 2]),
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph(nodes, "g", inputs, [output], [scale])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def context(**inputs: Any) -> TargetContext:
    dataset = from_object((inputs, np.arange(12) % 2), source="test")
    return TargetContext(dataset, dataset.x)


def test_onnx_inputs_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    asked = context(ids=IDS, mask=MASK)
    target, notes = load_target(saved(tmp_path / "m.onnx"), asked)
    np.testing.assert_allclose(target.predict(asked.example)[0], IDS / 30_000 + MASK, rtol=1e-6)
    assert notes == []


def test_onnx_input_that_records_have_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="inputs called tokens int64"):
        load_target(saved(tmp_path / "m.onnx"), context(tokens=IDS, mask=MASK))
