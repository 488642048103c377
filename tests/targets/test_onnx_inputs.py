"""An ONNX target of several inputs gets each by its name and in its type."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from onnx_models import FLOAT, save
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from memberwise.data import encode, from_object
from memberwise.errors import TargetError
from memberwise.targets.files import load_target
from memberwise.targets.kinds import TargetContext

RNG = np.random.default_rng(0)
W = RNG.normal(size=(6, 2)).astype(np.float32)
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


def linear_parts(path: Path, parts: Sequence[Any]) -> Path:
    """Inputs of any numeric types side by side, times ``W`` cut to their number."""
    columns = [f"c{i}" for i in range(len(parts))]
    nodes = []
    for (name, _, shape), column in zip(parts, columns, strict=True):
        nodes.append(helper.make_node("Cast", [name], [f"{column}f"], to=FLOAT))
        to = f"{column}f" if len(shape) == 2 else f"{column}r"
        if len(shape) == 1:
            nodes.append(helper.make_node("Reshape", [f"{column}f", "column"], [to]))
        columns[columns.index(column)] = to
    nodes.append(helper.make_node("Concat", columns, ["x"], axis=1))
    nodes.append(helper.make_node("MatMul", ["x", "w"], ["z"]))
    widths = [shape[1] if len(shape) == 2 else 1 for _, _, shape in parts]
    width = 6 if any(not isinstance(one, int) for one in widths) else sum(widths)
    w = np.resize(W, (width, 2)).astype(np.float32)
    return save(path, nodes, parts, [("z", FLOAT, ["n", 2])], w=w, column=np.array([-1, 1]))


def context(**inputs: Any) -> TargetContext:
    dataset = from_object((inputs, np.arange(12) % 2), source="test")
    return TargetContext(dataset, dataset.x)


def test_onnx_inputs_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    asked = context(ids=IDS, mask=MASK)
    target, notes = load_target(saved(tmp_path / "m.onnx"), asked)
    np.testing.assert_allclose(target.predict(asked.example)[0], IDS / 30_000 + MASK, rtol=1e-6)
    assert notes == []


def test_onnx_input_that_records_have_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"inputs called tokens int64(.|\n)*there is no x.ids"):
        load_target(saved(tmp_path / "m.onnx"), context(tokens=IDS, mask=MASK, more=MASK))


@pytest.mark.parametrize("names", [("serving_default_ids:0", "mask"), ("IDS", "Mask")])
def test_onnx_inputs_spelt_otherwise_are_the_same(names: tuple[str, str], tmp_path: Path) -> None:
    ids, mask = names
    asked = context(mask=MASK, ids=IDS)
    path = linear_parts(tmp_path / "m.onnx", [(mask, FLOAT, ["n", 2]), (ids, TensorProto.INT64, ["n", 2])])
    target, notes = load_target(path, asked)
    np.testing.assert_allclose(target.predict(asked.example)[0], np.hstack([MASK, IDS]) @ W[:4], rtol=1e-5)
    assert notes == []


def test_onnx_inputs_named_otherwise_go_by_shape_and_type(tmp_path: Path) -> None:
    """Whole numbers (n, 2) fit one input, floats (n, 2) another; of two alike nothing would tell which is which."""
    parts = [("input.1", FLOAT, ["n", 2]), ("input.2", TensorProto.INT64, ["n", 2])]
    asked = context(ids=IDS, mask=MASK)
    target, notes = load_target(linear_parts(tmp_path / "m.onnx", parts), asked)
    np.testing.assert_allclose(target.predict(asked.example)[0], np.hstack([MASK, IDS]) @ W[:4], rtol=1e-5)
    assert [note.code for note in notes] == ["target-inputs"]
    with pytest.raises(TargetError, match=r"there is no x.input.1, x.input.2"):
        load_target(tmp_path / "m.onnx", context(ids=IDS, types=IDS))


def test_features_are_dealt_out_to_several_inputs_in_order(tmp_path: Path) -> None:
    x = RNG.normal(size=(12, 6)).astype(np.float32)
    dataset = from_object((x, np.arange(12) % 2), source="test")
    parts: list[Any] = [("a", FLOAT, ["n", 2]), ("b", TensorProto.DOUBLE, [None, "rest"]), ("c", FLOAT, ["n"])]
    target, notes = load_target(linear_parts(tmp_path / "m.onnx", parts), TargetContext(dataset, x))
    np.testing.assert_allclose(target.predict(x)[0], x @ W, rtol=1e-5, atol=1e-6)
    assert [note.code for note in notes] == ["target-inputs"]
    assert "a: 0-1, b: 2-4, c: 5-5" in notes[0].message
    wider = linear_parts(tmp_path / "wider.onnx", [("a", FLOAT, ["n", 2]), ("b", FLOAT, ["n", 5])])
    with pytest.raises(TargetError, match="takes 2 inputs"):
        load_target(wider, TargetContext(dataset, x))


FRAME = pd.DataFrame(
    {
        "age": RNG.integers(18, 90, 80),
        "job": RNG.choice(["nurse", "smith", "clerk"], 80),
        "dose": RNG.normal(size=80),
        "ward": RNG.choice(["a", "b"], 80),
        "height": RNG.normal(170, 10, 80),
    }
)
Y = (FRAME["age"] + RNG.normal(0, 20, 80) > 54).to_numpy().astype(int)
NUMBERS, TEXTS = ["age", "dose", "height"], ["job", "ward"]
# What skl2onnx is told of the inputs, and the columns in which the pipeline was fitted.
TABLES = {
    "numbers and texts": ([("num", NUMBERS), ("cat", TEXTS)], ["target-columns"]),
    "texts first": ([("cat", TEXTS), ("num", NUMBERS)], ["target-columns"]),
    "one by name, the others together": (
        [("height", ["height"]), ("cat", TEXTS), ("num", ["age", "dose"])],
        ["target-columns"],
    ),
}


@pytest.mark.slow  # skl2onnx, and scikit-learn's pipelines
@pytest.mark.parametrize(("inputs", "codes"), TABLES.values(), ids=TABLES.keys())
def test_a_tables_columns_go_into_inputs_of_several(inputs: Any, codes: list[str], tmp_path: Path) -> None:
    convert_sklearn = pytest.importorskip("skl2onnx").convert_sklearn
    types = pytest.importorskip("skl2onnx.common.data_types")

    order = [name for _, names in inputs for name in names]
    scaled = (StandardScaler(), [i for i, name in enumerate(order) if name in NUMBERS])
    steps = make_column_transformer(scaled, (OneHotEncoder(), [i for i, name in enumerate(order) if name in TEXTS]))
    fitted = make_pipeline(steps, LogisticRegression()).fit(FRAME[order].to_numpy(object), Y)
    kinds = [
        (name, (types.StringTensorType if names[0] in TEXTS else types.FloatTensorType)([None, len(names)]))
        for name, names in inputs
    ]
    path = tmp_path / "m.onnx"
    path.write_bytes(convert_sklearn(fitted, "m", kinds, target_opset=17).SerializeToString())
    dataset = encode(from_object(FRAME.assign(y=Y), source="table", label="y"), np.arange(50))
    target, notes = load_target(path, TargetContext(dataset, dataset.x[:64]))
    expected = fitted.predict_proba(FRAME[order].to_numpy(object))
    np.testing.assert_allclose(target.predict(dataset.x)[0], expected, atol=1e-5)
    assert [note.code for note in notes] == codes


def test_one_input_of_a_tables_numbers_gets_them_unencoded(tmp_path: Path) -> None:
    """The usual export of a pipeline with its own scaler: all columns in one array, as they are in the table."""
    numbers = FRAME[NUMBERS]
    dataset = encode(from_object(numbers.assign(y=Y), source="table", label="y"), np.arange(50))
    path = linear_parts(tmp_path / "m.onnx", [("X", FLOAT, [None, 3])])
    target, notes = load_target(path, TargetContext(dataset, dataset.x[:64]))
    np.testing.assert_allclose(target.predict(dataset.x)[0], numbers.to_numpy() @ W[:3], rtol=1e-4, atol=1e-3)
    assert [note.code for note in notes] == ["target-columns"]


def test_columns_that_do_not_fit_the_inputs_are_told(tmp_path: Path) -> None:
    dataset = encode(from_object(FRAME.assign(y=Y), source="table", label="y"), np.arange(50))
    for parts in ([("job", FLOAT, ["n", 1])], [("a", FLOAT, ["n", 4]), ("b", FLOAT, ["n", 1])]):
        with pytest.raises(TargetError, match=r"texts: job, ward(.|\n)*--features"):
            load_target(linear_parts(tmp_path / "m.onnx", parts), TargetContext(dataset, dataset.x[:64]))


def test_fractions_lost_in_one_of_several_inputs_are_told(tmp_path: Path) -> None:
    path = linear_parts(tmp_path / "m.onnx", [("ids", FLOAT, ["n", 2]), ("mask", TensorProto.INT64, ["n", 2])])
    _, notes = load_target(path, context(ids=IDS, mask=MASK))
    assert [note.code for note in notes] == ["target-whole-numbers"]
