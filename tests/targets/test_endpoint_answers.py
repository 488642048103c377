"""What a server's answers are: kinds, classes in another order, labels, names from metadata, changes, tiers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from endpoints import CLASSES, data, dataset, endpoint, probabilities, serving
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from memberwise.data import Dataset, from_object
from memberwise.data.encoding import encode
from memberwise.errors import StudyError, TargetError
from memberwise.study.target import TargetConfig
from memberwise.targets.asking import Coarser
from memberwise.targets.changes import compared
from memberwise.targets.endpoint import Endpoint
from memberwise.targets.protocols.base import Signature, UnknownForm, by_record
from memberwise.targets.protocols.mlflow import MlflowServer
from memberwise.targets.protocols.v1 import V1
from memberwise.targets.protocols.v2 import V2
from memberwise.targets.sent import Form
from memberwise.targets.served_answers import AnswerReader, Coarseness
from memberwise.types.json import Json

X = data()[0]
P = probabilities(X)


def logits(x: NDArray[Any]) -> NDArray[np.float64]:
    return np.log(probabilities(x)) + 3


def top_two(x: NDArray[Any]) -> NDArray[np.float64]:
    p = probabilities(x)
    p[p < np.sort(p, 1)[:, -2:-1]] = 0
    return p.round(2)


@pytest.mark.parametrize(
    ("predict", "kind"),
    [
        (probabilities, "probabilities"),
        (lambda x: probabilities(x).astype(np.float32).astype(float), "probabilities"),
        (logits, "logits"),
        (top_two, "scores"),
        (lambda x: probabilities(x).argmax(1), "labels"),
        (lambda x: probabilities(x).argmax(1)[:, None], "labels"),
        (lambda x: probabilities(x).argmax(1).astype(float), "labels"),
        (lambda x: probabilities(x).argmax(1).astype(str), "labels"),
    ],
)
def test_the_kind_is_told_by_the_answers(predict: Any, kind: str, tmp_path: Path) -> None:
    with serving(predict) as server:
        target = endpoint(server, tmp_path)
        answers = target.predict(X)[0]
        assert target.kind == kind
        if kind == "labels":
            assert_array_equal(answers, P.argmax(1))
        else:
            assert_array_equal(answers, predict(X))
        target.close()


@pytest.mark.slow
def test_the_study_may_say_the_kind_and_is_checked(tmp_path: Path) -> None:
    with serving() as server:
        labels = endpoint(server, tmp_path / "a", answers="labels")
        assert_array_equal(labels.predict(X)[0], P.argmax(1))
        labels.close()
    with serving(logits) as server:
        wrong = endpoint(server, tmp_path / "b", answers="probabilities")
        with pytest.raises(TargetError, match="does not answer probabilities"):
            wrong.predict(X)
        wrong.close()
    with serving(lambda x: probabilities(x).argmax(1)) as server:
        wrong = endpoint(server, tmp_path / "c", answers="logits")
        with pytest.raises(TargetError, match="answers labels, not logits"):
            wrong.predict(X)
        wrong.close()


def test_answers_that_are_no_probabilities_later_are_told(tmp_path: Path) -> None:
    with serving() as server:
        target = endpoint(server, tmp_path)
        target.predict(X[:300])
        server.predict = logits
        with pytest.raises(TargetError, match="answered probabilities at first, and other figures later"):
            target.predict(X)
        target.close()


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 2, 3, 0), (2, 0, 3, 1), (0, 1, 3, 2)])
def test_classes_in_the_servers_order_are_put_back(order: tuple[int, ...], tmp_path: Path) -> None:
    names = tuple(str(number) for number in order)
    with serving(lambda x: probabilities(x)[:, list(order)]) as server:
        target = endpoint(server, tmp_path, classes=names)
        assert_array_equal(target.predict(X)[0], P)
        target.close()


def test_classes_that_are_not_the_datas_are_refused(tmp_path: Path) -> None:
    for names in (("0", "1", "2"), ("0", "1", "2", "2"), ("a", "b", "c", "d")):
        with serving() as server, pytest.raises(TargetError, match=r"target\.classes are not the data's classes"):
            endpoint(server, tmp_path, classes=names)


def reader(values: Any, **more: Any) -> AnswerReader:
    x = np.zeros((len(values), 2), np.float32)
    return AnswerReader(from_object((x, np.array(values)), source="data").class_labels, **more)


def test_labels_are_the_datas_own_or_places() -> None:
    texts = reader(["cat", "dog", "emu"])
    assert texts.named_by(["dog", "cat"]) == "values"
    assert texts.numbers_of(["emu", "cat"], "values").tolist() == [2, 0]
    assert texts.named_by([0, 2]) == "places"
    assert texts.numbers_of([2, 0], "places").tolist() == [2, 0]
    from_one = reader([1, 2, 3])
    assert from_one.named_by([1, 3]) == "values"
    assert from_one.numbers_of([1, 3], "values").tolist() == [0, 2]
    assert from_one.named_by([0, 2]) == "places"
    assert from_one.numbers_of([0, 2], "places").tolist() == [0, 2]
    ordered = reader(["cat", "dog", "emu"], order=("emu", "cat", "dog"))
    assert ordered.numbers_of([0, 1, 2], "places").tolist() == [2, 0, 1]
    with pytest.raises(TargetError, match="none of the data's classes"):
        ordered.numbers_of([3], "places")


def test_the_output_that_fits_is_taken() -> None:
    one = reader(["a", "b", "c"])
    p, labels = np.array([[0.2, 0.3, 0.5]]), np.array([2])
    assert one.read({"label": labels, "probabilities": p}, 1)[0].tolist() == p[0].tolist()  # type: ignore[union-attr]
    assert one.read({"logits": p * 9, "probabilities": p}, 1)[0].tolist() == p[0].tolist()  # type: ignore[union-attr]
    named = reader(["a", "b", "c"], output="logits")
    assert named.read({"logits": p * 9, "probabilities": p}, 1)[0].tolist() == (p * 9)[0].tolist()  # type: ignore[union-attr]
    assert named.read({"label": labels}, 1) == [2]  # a coarser tier
    columns = {"c": np.array([0.5]), "a": np.array([0.2]), "b": np.array([0.3])}
    assert one.read(columns, 1)[0].tolist() == p[0].tolist()  # type: ignore[union-attr]
    with pytest.raises(TargetError, match=r"name the output: --set target\.output"):
        one.read({"x": p, "y": p}, 1)


def test_the_second_classs_probability_says_both() -> None:
    two = reader([0, 1])
    for values in (np.array([0.25, 0.5]), np.array([[0.25], [0.5]])):
        answers = two.read({"y": values}, 2)
        assert np.array(answers).tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert two.read({"y": np.array([0.0, 1.0])}, 2) == [0, 1]


@pytest.mark.slow
def test_metadata_name_tensors_and_model(tmp_path: Path) -> None:
    metadata = {
        "name": "clf",
        "versions": ["7"],
        "inputs": [{"name": "features", "datatype": "FP64", "shape": [-1, 2, 3]}],
        "outputs": [{"name": "scores", "datatype": "FP64", "shape": [-1, 4]}],
    }
    with serving(lambda x: probabilities(x.reshape(len(x), -1)), metadata=metadata) as server:
        target = endpoint(server, tmp_path, model=None)
        assert_array_equal(target.predict(X)[0], P)
        body = next(body for body in server.bodies if body.get("inputs"))
        assert body["inputs"][0]["name"] == "features"
        assert body["inputs"][0]["datatype"] == "FP64"
        assert body["inputs"][0]["shape"][1:] == [2, 3]
        assert body["outputs"] == [{"name": "scores"}]
        assert target.store.said("version") == "7"
        assert target.store.said("model") == "clf"
        target.close()
        metadata["versions"] = ["8"]
        again = endpoint(server, tmp_path, model=None)
        again.predict(X[::-1] + np.float32(1))
        assert [note.code for note in again.noticed] == ["endpoint-version"]
        again.close()


@pytest.mark.parametrize(
    ("address", "model", "asked"),
    [
        ("http://h:1", "m", "http://h:1/v2/models/m/infer"),
        ("http://h:1/v2", "m", "http://h:1/v2/models/m/infer"),
        ("http://h:1/v2/models/m", None, "http://h:1/v2/models/m/infer"),
        ("http://h:1/v2/models/m/infer", None, "http://h:1/v2/models/m/infer"),
        ("http://h:1/v2/models/m/versions/3/infer", None, "http://h:1/v2/models/m/versions/3/infer"),
        ("http://h:1/a/b", "x y/z", "http://h:1/a/b/v2/models/x%20y%2Fz/infer"),
    ],
)
def test_a_v2_address_may_be_any_part(address: str, model: str | None, asked: str) -> None:
    assert V2(address, Signature(model)).request(X[:1]).address == asked


def test_v1_and_mlflow_addresses_may_be_whole() -> None:
    whole = "https://h/v1/projects/p/endpoints/7:predict"
    assert V1(whole, Signature()).request(X[:1]).address == whole
    assert V1(f"{whole}?api-version=2", Signature()).request(X[:1]).address == f"{whole}?api-version=2"
    assert V1("http://h", Signature("m")).request(X[:1]).address == "http://h/v1/models/m:predict"
    with pytest.raises(TargetError, match="which of the server's models"):
        V1("http://h", Signature()).request(X[:1])
    assert MlflowServer("http://h", Signature()).request(X[:1]).address == "http://h/invocations"
    assert MlflowServer("http://h/invocations", Signature()).request(X[:1]).address == "http://h/invocations"


def test_replies_of_another_form_are_told() -> None:
    documents: list[Any] = [None, [], {}, {"outputs": [3]}, {"outputs": [{"name": "y", "data": [1.0]}]}]
    for document in documents:
        with pytest.raises(UnknownForm):
            V2("http://h", Signature("m")).outputs(document, 1)
    shapes: list[Json] = [[2], [1, 2], [], [-1], "x", None]
    for shape in shapes:
        with pytest.raises(UnknownForm):
            V2("http://h", Signature("m")).outputs({"outputs": [{"name": "y", "data": [1.0], "shape": shape}]}, 1)
    lists: list[Any] = [3, [], [[1], [1, 2]], [{"a": 1}, {"b": 2}], [1, 2, 3], {}, [None, {}]]
    for values in lists:
        with pytest.raises(UnknownForm):
            by_record(values, 2, "predictions")


def test_whole_numbers_are_wanted_by_integer_tensors() -> None:
    with pytest.raises(TargetError, match="takes whole numbers"):
        V2("http://h", Signature("m", datatype="INT64")).request(X[:1])
    with pytest.raises(TargetError, match="records of another size"):
        V2("http://h", Signature("m", shape=(5,))).request(X[:1])


@pytest.mark.slow
def test_noise_is_noticed_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with serving(lambda x: probabilities(x) + rng.normal(0, 1e-3, (len(x), CLASSES))) as server:
        target = endpoint(server, tmp_path, answers="scores")
        target.predict(X)
        target.finish(X)
        changes = target.changes("at_once")
        assert changes is not None
        assert changes.changed == 8
        assert 1e-4 < (changes.largest or 0) < 0.02
        target.close()


def test_a_new_version_is_noticed_at_the_end(tmp_path: Path) -> None:
    with serving() as server:
        target = endpoint(server, tmp_path)
        target.predict(X)
        server.predict = lambda x: probabilities(x + np.float32(0.01))
        target.finish(X)
        at_once, later = target.changes("at_once"), target.changes("meanwhile")
        assert at_once is not None
        assert later is not None
        assert (at_once.changed, later.changed) == (0, 8)
        target.close()


def test_rounding_of_sums_is_no_change() -> None:
    first: list[Any] = [np.array([0.5, 0.5]), "cat", np.array([-np.inf, 3.0])]
    again: list[Any] = [np.array([0.5 + 1e-9, 0.5]), "cat", np.array([-np.inf, 3.0])]
    assert compared(first, again).changed == 0
    assert compared(first, [np.array([0.5, 0.6]), "dog", 1]).changed == 3


def test_answers_that_turn_into_labels_are_all_read_so(tmp_path: Path) -> None:
    with serving() as server:
        target = endpoint(server, tmp_path)
        target.predict(X[:300])
        server.predict = lambda x: probabilities(x).argmax(1)
        with pytest.raises(Coarser) as caught:
            target.predict(X)
        target.settle(caught.value.kind)
        asked = server.received
        assert_array_equal(target.predict(X)[0], P.argmax(1))
        assert target.kind == "labels"
        assert server.received == asked
        assert target.coarseness()[1] == 100
        target.close()


def test_coarse_answers_are_seen_as_such() -> None:
    assert Coarseness.of(P) == Coarseness(None, CLASSES, CLASSES)
    assert Coarseness.of(P.round(2)).digits == 2
    assert Coarseness.of(P.round(3).astype(np.float32)).digits == 3
    assert Coarseness.of(top_two(X)).nonzero == 2
    assert Coarseness.of(P.round(2)).coarser_than(Coarseness.of(P))
    assert not Coarseness.of(P).coarser_than(Coarseness.of(P.round(2)))


def table() -> Dataset:
    rng = np.random.default_rng(0)
    n = 300
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "dose": rng.normal(3.7, 1.1, n),
            "smokes": rng.random(n) < 0.3,
            "ward": rng.choice(["north", "süd", "east"], n),
            "stage": rng.choice([1, 2, 3], n).astype(str),
            "y": rng.choice(["ill", "well"], n),
        }
    )
    return encode(from_object(frame, source="data", label="y"), np.arange(100))


def test_a_tables_own_rows_are_sent_exactly() -> None:
    data = table()
    assert data.frame is not None
    sent = Form(data, raw=True).of(data.x)
    assert isinstance(sent, pd.DataFrame)
    assert [list(row) for row in sent.itertuples(index=False)] == [list(r) for r in data.frame.itertuples(index=False)]
    document = MlflowServer("http://h", Signature()).request(sent).body.decode()
    assert '"dataframe_split":{"columns":["age","dose","smokes","ward","stage"]' in document


def test_a_tables_other_rows_are_near() -> None:
    data = table()
    moved = data.x.copy()
    moved[:, 1] += np.float32(0.25)
    sent, own = Form(data, raw=True).of(moved), data.frame
    assert isinstance(sent, pd.DataFrame)
    assert own is not None
    spread = next(column.scale for column in data.encoding.parts if column.name == "dose")  # type: ignore[union-attr]
    np.testing.assert_allclose(sent["dose"].astype(float), own["dose"] + 0.25 * spread, rtol=1e-5)
    for name in ("age", "smokes", "ward", "stage"):
        assert sent[name].tolist() == own[name].tolist()


def test_shades_are_sent_exactly() -> None:
    x = np.random.default_rng(0).integers(0, 256, (50, 12, 12), np.uint8)
    data = from_object((x, np.arange(50) % 2), source="data")
    sent = Form(data, raw=True).of(x.astype(np.float32) / np.float32(255))
    assert isinstance(sent, np.ndarray)
    assert sent.dtype == np.uint8
    assert_array_equal(sent, x)


def test_a_v2_table_is_a_tensor_a_column() -> None:
    data = table()
    sent = Form(data, raw=True).of(data.x[:3])
    document = json.loads(V2("http://h", Signature("m")).request(sent).body)
    kinds = {tensor["name"]: tensor["datatype"] for tensor in document["inputs"]}
    assert kinds == {"age": "INT64", "dose": "FP64", "smokes": "BOOL", "ward": "BYTES", "stage": "BYTES"}


ASK = """
import numpy as np

CALLS = []

def ask(records):
    CALLS.append(len(records))
    if len(CALLS) == 2:
        raise ConnectionError("again")
    return {"label": records.sum(1) > 0, "p": np.stack([1 - records.mean(1), records.mean(1)], 1)}

def fails(records):
    raise KeyError("column")

def short(records):
    return records[:-1, 0]
"""


@pytest.mark.slow
def test_a_function_of_ones_own_asks(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ASK)
    x = np.random.default_rng(0).random((100, 3)).astype(np.float32)
    data = from_object((x, np.arange(100) % 2), source="data")

    def of(name: str) -> Endpoint:
        config = TargetConfig(endpoint=f"{tmp_path}/mine.py:{name}", protocol="custom", batch=30)
        return Endpoint(config, Form(data), tmp_path / name, {})

    target = of("ask")
    np.testing.assert_allclose(target.predict(x)[0][:, 1], x.mean(1), rtol=1e-6)
    target.close()
    for name, said in (("fails", "KeyError"), ("short", "29 for|for 30 records|shape")):
        wrong = of(name)
        with pytest.raises(TargetError, match=said):
            wrong.predict(x)
        wrong.close()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"endpoint": "file.py:ask"}, "no address of a served model"),
        ({"endpoint": "http://h", "protocol": "custom"}, "the protocol custom asks a function"),
        ({"endpoint": "ftp://h"}, "no address of a served model"),
    ],
)
def test_addresses_that_are_none_are_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=said):
        Endpoint(TargetConfig(**keys), Form(dataset()), tmp_path, {})
