"""ONNX targets: whatever an exporter makes of inputs and outputs, the answers are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from onnx_models import FLOAT, linear, save
from scipy.special import expit, softmax
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from memberwise.data import Dataset, encode, from_object
from memberwise.errors import TargetError
from memberwise.targets.onnx import OnnxModel
from memberwise.targets.onnx_types import cast

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 6)).astype(np.float32)
W = RNG.normal(size=(6, 3))
Y = (X @ W + RNG.gumbel(size=(150, 3))).argmax(1)


def data(x: np.ndarray = X, y: np.ndarray = Y, **more: object) -> Dataset:
    return from_object({"x": x, "y": y, **more}, source="data")


def model(path: Path, dataset: Dataset | None = None, example: np.ndarray = X[:64]) -> OnnxModel:
    return OnnxModel(path, example, dataset or data())


@pytest.mark.parametrize("batch", ["n", None, 1, 7, 64, 200])
def test_records_are_asked_in_the_models_batch_sizes(tmp_path: Path, batch: object) -> None:
    answers = model(linear(tmp_path / "m.onnx", W, batch=batch))
    for n in (1, 6, 7, 64, 150):
        np.testing.assert_allclose(answers.predict(X[:n]), (X[:n] @ W)[None], atol=1e-5)
    assert answers.kind == "logits"


def test_a_batch_that_only_seems_free_is_asked_about_one_by_one(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "to"], ["r"]), helper.make_node("MatMul", ["r", "w"], ["z"])]
    arrays: dict[str, Any] = {"w": W.astype(np.float32), "to": np.array([1, 6])}
    path = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["n", 6])], [("z", FLOAT, ["n", 3])], **arrays)
    np.testing.assert_allclose(model(path).predict(X[:9]), (X[:9] @ W)[None], atol=1e-5)


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16", "INT64", "INT32", "INT8"])
def test_records_are_cast_to_the_type_of_the_input(tmp_path: Path, kind: str) -> None:
    whole = np.rint(4 * X)
    answers = model(linear(tmp_path / "m.onnx", W, kind=getattr(TensorProto, kind)), data(whole), whole[:64])
    np.testing.assert_allclose(answers.predict(whole), (whole @ W)[None], atol=1e-4)
    assert answers.input_notes == []


def test_fractions_that_are_lost_on_the_way_are_told(tmp_path: Path) -> None:
    answers = model(linear(tmp_path / "m.onnx", W, kind=TensorProto.INT64))
    np.testing.assert_allclose(answers.predict(X), (np.rint(X) @ W)[None], atol=1e-4)
    assert [code for code, _ in answers.input_notes] == ["target-whole-numbers"]


def test_shades_are_whole_numbers_for_a_model_of_bytes(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (40, 8, 9), dtype=np.uint8)
    path = linear(tmp_path / "m.onnx", RNG.normal(size=(72, 3)), kind=TensorProto.UINT8, shape=[8, 9])
    dataset = data(images, np.arange(40) % 3)
    questions = images.astype(np.float32) / 255
    answers = model(path, dataset, questions)
    again = OnnxModel(path, images.astype(np.float32), data(images.astype(np.float32), np.arange(40) % 3))
    np.testing.assert_allclose(answers.predict(questions), again.predict(images.astype(np.float32)), rtol=1e-6)  # type: ignore[arg-type]
    assert answers.input_notes == []


def test_no_number_leaves_the_range_of_its_type() -> None:
    x = np.array([-1e30, -3.6, 0.5, 200.0, 1e30], np.float32)
    for name in ("int8", "uint8", "int32", "int64", "uint64"):
        whole, info = cast(x, np.dtype(name), False), np.iinfo(name)
        assert (np.diff(whole.astype(float)) >= 0).all()
        assert whole[0] == info.min
        assert whole[-1] == pytest.approx(info.max, rel=1e-15)


@pytest.mark.parametrize(
    ("shape", "wanted", "expected"),
    [
        ((5, 4), [20], lambda x: x.reshape(len(x), -1)),
        ((5, 4), [1, 5, 4], lambda x: x[:, None]),
        ((5, 4), [5, 4, 1], lambda x: x[..., None]),
        ((3, 5, 4), [5, 4, 3], lambda x: np.moveaxis(x, 1, -1)),
        ((3, 5, 4), ["c", "h", "w"], lambda x: x),
        ((20,), [4, 5], lambda x: x.reshape(len(x), 4, 5)),
    ],
)
def test_records_are_laid_out_as_the_model_takes_them(tmp_path: Path, shape: Any, wanted: Any, expected: Any) -> None:
    x = RNG.normal(size=(10, *shape)).astype(np.float32)
    w = RNG.normal(size=(int(np.prod(shape)), 3))
    answers = model(linear(tmp_path / "m.onnx", w, shape=wanted), data(x, np.arange(10) % 3), x)
    np.testing.assert_allclose(answers.predict(x)[0], expected(x).reshape(10, -1) @ w, atol=1e-5)


def test_what_the_answers_are_is_told_from_their_range(tmp_path: Path) -> None:
    softmaxed = model(linear(tmp_path / "s.onnx", W, end="Softmax"))
    np.testing.assert_allclose(softmaxed.predict(X)[0], softmax(X @ W, axis=1), atol=1e-6)
    assert softmaxed.kind == "probabilities"
    sigmoids = model(linear(tmp_path / "g.onnx", W, end="Sigmoid"))
    assert (sigmoids.kind, [code for code, _ in sigmoids.input_notes]) == ("scores", ["answers-are-scores"])


@pytest.mark.parametrize("end", ["", "Sigmoid"])
def test_one_number_for_two_classes(tmp_path: Path, end: str) -> None:
    answers = model(linear(tmp_path / "m.onnx", W[:, :1], end=end), data(X, Y % 2))
    z = X @ W[:, 0]
    p = expit(z) if end else z
    expected = np.stack([1 - p, p], 1) if end else np.stack([0 * z, z], 1)
    np.testing.assert_allclose(answers.predict(X)[0], expected, atol=1e-6)
    assert answers.kind == ("probabilities" if end else "logits")


@pytest.mark.parametrize("beside", ["features", "label", "scalar"])
def test_other_outputs_beside_the_answers(tmp_path: Path, beside: str) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"])]
    more, outputs = {
        "features": (helper.make_node("Relu", ["x"], ["o"]), ("o", FLOAT, ["n", 6])),
        "label": (helper.make_node("ArgMax", ["z"], ["o"], axis=1), ("o", TensorProto.INT64, ["n", 1])),
        "scalar": (helper.make_node("ReduceMean", ["z"], ["o"], keepdims=0), ("o", FLOAT, [])),
    }[beside]
    path = save(
        tmp_path / "m.onnx",
        [*nodes, more],
        [("x", FLOAT, ["n", 6])],
        [outputs, ("z", FLOAT, ["n", 3])],
        w=W.astype(np.float32),
    )
    np.testing.assert_allclose(model(path).predict(X), (X @ W)[None], atol=1e-5)


NAMED = {
    "numbers": Y,
    "from one": Y + 1,
    "signs": np.where(Y > 0, 1, -1),
    "texts": np.array(["no", "Maybe", "yes"])[Y],
    "ten and two": np.array([10, 2, 33])[Y],
    "texts of digits": np.array(["10", "2", "33"])[Y],
}


@pytest.mark.parametrize("zipmap", [None, False, "columns"])
@pytest.mark.parametrize("labels", NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("others_first", [False, True])
def test_scikit_learns_answers_by_the_datas_classes(
    tmp_path: Path, zipmap: object, labels: np.ndarray, others_first: bool
) -> None:
    """The same as predict_proba, whose columns are the sorted labels, whatever the order of the data's classes."""
    from skl2onnx import to_onnx  # type: ignore[import-untyped]

    fitted = RandomForestClassifier(7, random_state=0).fit(X, labels)
    options = None if zipmap is None else {id(fitted): {"zipmap": zipmap}}
    path = tmp_path / "m.onnx"
    path.write_bytes(to_onnx(fitted, X[:1], options=options, target_opset=17).SerializeToString())
    names = [str(name) for name in np.unique(labels)]
    more = {"classes": np.array(names[::-1])} if others_first else {}
    dataset = data(X, labels, **more)
    answers = model(path, dataset)
    columns = [[str(c) for c in fitted.classes_].index(name) for name in dataset.classes]
    np.testing.assert_allclose(answers.predict(X)[0], fitted.predict_proba(X)[:, columns], atol=1e-6)
    assert answers.kind == "probabilities"


def test_a_model_that_saw_some_classes_only(tmp_path: Path) -> None:
    from skl2onnx import to_onnx

    seen = Y != 1
    fitted = LogisticRegression().fit(X[seen], Y[seen] + 1)
    path = tmp_path / "m.onnx"
    path.write_bytes(to_onnx(fitted, X[:1], target_opset=17).SerializeToString())
    answers = model(path, data(X, Y + 1)).predict(X)[0]
    np.testing.assert_allclose(answers[:, [0, 2]], fitted.predict_proba(X), atol=1e-5)
    assert (answers[:, 1] == 0).all()
    bare = to_onnx(fitted, X[:1], options={id(fitted): {"zipmap": False}}, target_opset=17)
    path.write_bytes(bare.SerializeToString())
    with pytest.raises(TargetError, match=r"skl2onnx's default, which names its classes"):
        model(path, data(X, Y + 1))


def test_classes_that_the_data_have_not(tmp_path: Path) -> None:
    from skl2onnx import to_onnx

    path = tmp_path / "m.onnx"
    fitted = LogisticRegression().fit(X, np.array(["a", "b", "c"])[Y])
    path.write_bytes(to_onnx(fitted, X[:1], target_opset=17).SerializeToString())
    with pytest.raises(
        TargetError, match=r"other classes than the data's\n.*expected: some of 0, 1, 2\n.*found: a, b, c"
    ):
        model(path)


def test_margins_and_labels_alone(tmp_path: Path) -> None:
    from skl2onnx import to_onnx

    path = tmp_path / "m.onnx"
    for labels in (Y, Y % 2):
        fitted = LinearSVC().fit(X, labels)
        path.write_bytes(to_onnx(fitted, X[:1], target_opset=17).SerializeToString())
        answers = model(path, data(X, labels))
        np.testing.assert_array_equal(answers.predict(X)[0].argmax(1), fitted.predict(X))
        assert answers.kind == "logits"
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("ArgMax", ["z"], ["y"], axis=1, keepdims=0),
    ]
    taken, given = [("x", FLOAT, ["n", 6])], [("y", TensorProto.INT64, ["n"])]
    alone = model(save(path, nodes, taken, given, w=W.astype(np.float32)))
    np.testing.assert_array_equal(alone.predict(X)[0], (X @ W).argmax(1))
    assert alone.kind == "labels"


def test_one_input_a_column(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Concat", [f"c{j}" for j in range(6)], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["z"]),
    ]
    taken = [(f"c{j}", FLOAT, ["n", 1]) for j in range(6)]
    path = save(tmp_path / "m.onnx", nodes, taken, [("z", FLOAT, ["n", 3])], w=W.astype(np.float32))
    np.testing.assert_allclose(model(path).predict(X), (X @ W)[None], atol=1e-5)


def test_a_pipeline_on_a_table_gets_the_tables_own_columns(tmp_path: Path) -> None:
    """Columns were encoded for the shadow models; a target with an encoding of its own gets them as they were."""
    from skl2onnx import to_onnx

    frame = pd.DataFrame({"age": RNG.integers(18, 90, 150).astype(np.float32), "dose": X[:, 0], "job": NAMED["texts"]})
    steps = make_column_transformer((StandardScaler(), ["age", "dose"]), (OneHotEncoder(), ["job"]))
    fitted = make_pipeline(steps, LogisticRegression()).fit(frame, Y)
    path = tmp_path / "m.onnx"
    path.write_bytes(to_onnx(fitted, frame[:1], target_opset=17).SerializeToString())
    dataset = encode(from_object(frame.assign(label=Y), source="table"), np.arange(100))
    answers = model(path, dataset, dataset.x[:64]).predict(dataset.x)[0]
    np.testing.assert_allclose(answers, fitted.predict_proba(frame), atol=1e-5)


def _two(path: Path) -> Path:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Mul", ["z", "t"], ["o"])]
    taken = [("x", FLOAT, ["n", 6]), ("t", FLOAT, [1])]
    return save(path, nodes, taken, [("o", FLOAT, ["n", 3])], w=W.astype(np.float32))  # type: ignore[arg-type]


def _text(path: Path) -> Path:
    nodes = [helper.make_node("Cast", ["x"], ["z"], to=FLOAT)]
    return save(path, nodes, [("x", TensorProto.STRING, ["n", 6])], [("z", FLOAT, ["n", 6])])


REFUSED = {
    "two inputs": (_two, r"takes 2 inputs, and the records do not tell(.|\n)*t: tensor\(float\)"),
    "texts": (_text, r"takes records of another type(.|\n)*tensor\(string\)"),
    "other features": (lambda path: linear(path, RNG.normal(size=(9, 3))), r"another shape(.|\n)*\(6,\)(.|\n)*'n', 9"),
    "other classes": (
        lambda path: linear(path, RNG.normal(size=(6, 5))),
        r"answers nothing by which(.|\n)*float32 \(64, 5\)",
    ),
}


@pytest.mark.parametrize(("make", "match"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_asked_is_told_as_a_target_error(tmp_path: Path, make: Any, match: str) -> None:
    with pytest.raises(TargetError, match=match):
        model(make(tmp_path / "m.onnx"))


def test_the_answer_among_several_outputs_is_chosen_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["aux"]),
        helper.make_node("Neg", ["aux"], ["z"]),
        helper.make_node("ArgMax", ["z"], ["label"], axis=1, keepdims=0),
    ]
    given: list[Any] = [("aux", FLOAT, ["n", 3]), ("z", FLOAT, ["n", 3]), ("label", TensorProto.INT64, ["n"])]
    path = save(tmp_path / "m.onnx", nodes, [("x", FLOAT, ["n", 6])], given, w=W.astype(np.float32))
    first = model(path)
    np.testing.assert_allclose(first.predict(X)[0], X @ W, atol=1e-5)
    assert [note.code for note in first.input_notes] == ["target-output"]
    named = OnnxModel(path, X[:64], data(), "z")
    np.testing.assert_allclose(named.predict(X)[0], -(X @ W), atol=1e-5)
    assert named.input_notes == []
    assert OnnxModel(path, X[:64], data(), "label").kind == "labels"
    with pytest.raises(TargetError, match=r"aux, z, label(.|\n)*did you mean label"):
        OnnxModel(path, X[:64], data(), "labels")
