"""Three protocols, one answer: what each takes, gives and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skops.io

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.gateways import Served

CLIP_AND_ROUND = [{"name": "logit-clipping", "r": 3.0}, {"name": "rounding", "digits": 3}]
INFER = "/v2/models/digits/infer"
PREDICT = "/v1/models/digits:predict"


def by_hand(path: Path, x: np.ndarray) -> np.ndarray:
    """What the policy makes of the model's probabilities: log, cut at 3, softmax, rounded."""
    p = skops.io.load(path).predict_proba(x)
    z = np.clip(np.log(np.maximum(p, 1e-30)), -3, 3)
    e = np.exp(z)
    return np.asarray(np.round(e / e.sum(1, keepdims=True), 3))


def tensor(x: np.ndarray, datatype: str = "FP64", **more: Any) -> dict[str, Any]:
    return {"name": "input", "shape": list(x.shape), "datatype": datatype, "data": x.ravel().tolist(), **more}


@pytest.fixture
def served(make_served: Callable[..., Served]) -> Served:
    return make_served({"answer": CLIP_AND_ROUND})


def test_all_protocols_give_the_policys_answer(served: Served, digits_model: Path, digits: np.ndarray) -> None:
    x, client, key = digits[:5], served.client, served.key()
    expected = by_hand(digits_model, x)
    rows = [[*map(float, row)] for row in x]
    columns = [f"p{i}" for i in range(64)]
    bodies: list[tuple[str, dict[str, Any]]] = [
        (PREDICT, {"instances": rows}),
        ("/invocations", {"inputs": rows}),
        ("/invocations", {"inputs": {"x": rows}}),
        ("/invocations", {"instances": rows}),
        ("/invocations", {"dataframe_split": {"columns": columns, "data": rows, "index": [0, 1, 2, 3, 4]}}),
        ("/invocations", {"dataframe_records": [dict(zip(columns, row, strict=True)) for row in rows]}),
    ]
    for path, body in bodies:
        answer = client.post(path, json=body, headers=key)
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(answer.json()["predictions"], expected, atol=1e-12)
    for data in (rows, x.ravel().tolist()):
        answer = client.post(INFER, json={"id": "7", "inputs": [tensor(x) | {"data": data}]}, headers=key)
        assert answer.status_code == 200, answer.text
        output = answer.json()["outputs"][0]
        assert (answer.json()["id"], output["name"], output["shape"]) == ("7", "scores", [5, 10])
        np.testing.assert_allclose(np.reshape(output["data"], (5, 10)), expected, atol=1e-12)
    # It was the same five records each time.
    assert served.spent() == (5, {"alice": 5})


def test_bytes_of_v2_are_read_and_written(served: Served, digits: np.ndarray) -> None:
    x = digits[:3]
    asks = {
        "inputs": [{"name": "x", "shape": [3, 64], "datatype": "FP32", "parameters": {"binary_data_size": 3 * 64 * 4}}],
        "outputs": [{"name": "scores", "parameters": {"binary_data": True}}, {"name": "label"}],
    }
    head = json.dumps(asks).encode()
    headers = served.key() | {"Inference-Header-Content-Length": str(len(head))}
    answer = served.client.post(INFER, content=head + x.astype("<f4").tobytes(), headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["Inference-Header-Content-Length"])
    told, tail = json.loads(answer.content[:length]), answer.content[length:]
    scores = np.frombuffer(tail, "<f8").reshape(3, 10)
    plain = served.ask(x, headers)
    np.testing.assert_array_equal(scores, plain.json()["predictions"])
    assert told["outputs"][0]["parameters"] == {"binary_data_size": len(tail)}
    assert told["outputs"][1]["data"] == scores.argmax(1).tolist()


def test_labels_alone_are_whole_numbers(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served({"answer": [{"name": "label-only"}]})
    key, x = served.key(), digits[:4]
    labels = served.ask(x, key).json()["predictions"]
    assert all(type(label) is int for label in labels)
    output = served.client.post(INFER, json={"inputs": [tensor(x)]}, headers=key).json()["outputs"]
    assert output == [{"name": "label", "datatype": "INT64", "shape": [4], "data": labels}]
    told = served.client.get("/v2/models/digits", headers=key).json()
    assert [one["name"] for one in told["outputs"]] == ["label"]


def test_the_ladder_coarsens_every_protocol(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    ladder = [{"above": 0.0, "tier": "vector"}, {"above": 0.25, "tier": "top-3"}, {"above": 0.5, "tier": "label"}]
    served = make_served({"plans": {"default": {"questions": 8, "ladder": ladder}}})
    key = served.key()
    tiers = []
    for number in range(8):
        answer = served.ask(digits[number : number + 1], key)
        tiers.append(answer.headers["Memberwise-Tier"])
        row = answer.json()["predictions"][0]
        if tiers[-1] == "top-3":
            assert sum(value > 0 for value in row) <= 3
        if tiers[-1] == "label":
            assert type(row) is int
    assert tiers == ["vector"] * 2 + ["top-3"] * 2 + ["label"] * 4
    refused = served.ask(digits[8:9], key)
    assert (refused.status_code, refused.json()["reason"]) == (429, "client")
    assert refused.headers["RateLimit"] == '"questions";r=0'
    # What was asked before is answered as then, and costs nothing.
    again = served.ask(digits[:1], key)
    assert (again.status_code, again.headers["Memberwise-Tier"]) == (200, "vector")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, {}),
        (PREDICT, {"instances": None}),
        (PREDICT, {"instances": {"a": [1]}}),
        (PREDICT, {"instances": []}),
        (PREDICT, {"instances": [[1.0]]}),
        (PREDICT, {"instances": [["1"] * 64]}),
        (PREDICT, {"instances": [[True] * 64]}),
        (PREDICT, {"instances": [[[1.0] * 64]]}),
        (PREDICT, {"instances": [1.0] * 64}),
        (PREDICT, {"instances": [{"b64": "AAAA"}]}),
        (PREDICT, {"instances": [[1.0] * 64], "more": 1}),
        (PREDICT, {"instances": [[1.0] * 64], "signature_name": 1}),
        ("/invocations", {}),
        ("/invocations", {"inputs": [[1.0] * 64], "instances": [[1.0] * 64]}),
        ("/invocations", {"inputs": [[1.0] * 64], "params": {"temperature": 1}}),
        ("/invocations", {"inputs": {"a": [[1.0] * 64], "b": [[1.0] * 64]}}),
        ("/invocations", {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}),
        ("/invocations", {"dataframe_split": [[1.0] * 64]}),
        ("/invocations", {"dataframe_records": [[1.0] * 64]}),
        ("/invocations", {"dataframe_records": [{"a": 1}, {"b": 1}]}),
        ("/invocations", {"dataframe_records": [{f"p{i}": "1" for i in range(64)}]}),
        (INFER, {"inputs": []}),
        (INFER, {"inputs": [{"name": "x"}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)))] * 2}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)), "BYTES")]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)), "BOOL")]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)), "FP99")]}),
        (INFER, {"inputs": [tensor(np.full((1, 64), 300), "UINT8")]}),
        (INFER, {"inputs": [tensor(np.full((1, 64), 0.5), "INT32")]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64))) | {"shape": [2, 64]}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64))) | {"shape": [1, 65]}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64))) | {"shape": [-1, 64]}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64))) | {"shape": [True, 64]}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64))) | {"shape": [1, 2**40, 2**40, 64]}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64))) | {"data": "AAAA"}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)))], "outputs": [{"name": "logits"}]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)), parameters={"binary_data_size": 256})]}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)))], "id": 7}),
        (INFER, {"inputs": [tensor(np.ones((1, 64)))], "parameters": {"a": [1]}}),
    ],
)
def test_wrong_requests_are_refused_and_cost_nothing(served: Served, path: str, body: Any) -> None:
    answer = served.client.post(path, json=body, headers=served.key())
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "detail", "error"}
    assert served.spent()[0] == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/csv"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Inference-Header-Content-Length": "0"}, 400),
        ({"Inference-Header-Content-Length": "999999"}, 400),
        ({"Inference-Header-Content-Length": "-1"}, 400),
        ({"Inference-Header-Content-Length": "x"}, 400),
    ],
)
def test_wrong_headers_are_refused(served: Served, headers: dict[str, str], status: int) -> None:
    body = json.dumps({"inputs": [tensor(np.ones((1, 64)))]}).encode()
    told = {"Content-Type": "application/json"} | served.key() | headers
    answer = served.client.post(INFER, content=body, headers=told)
    assert answer.status_code == status
    assert served.spent()[0] == 0


def test_more_than_allowed_is_refused(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    served = make_served({"server": {"max_bytes": 50_000, "max_records": 3}})
    key = served.key()
    assert served.ask(digits[:3], key).status_code == 200
    assert served.ask(digits[:4], key).status_code == 400
    assert served.client.post(PREDICT, content=b" " * 50_001, headers=key).status_code == 413
    assert served.client.post(PREDICT, content=iter([b" " * 30_000] * 3), headers=key).status_code == 413
    split = {"columns": [f"{i}" for i in range(64)], "data": digits[:4].tolist()}
    assert served.client.post("/invocations", json={"dataframe_split": split}, headers=key).status_code == 400
    assert served.spent()[0] == 3


def test_records_beyond_the_model_are_refused(served: Served, digits: np.ndarray) -> None:
    key = served.key()
    with np.errstate(over="ignore"):
        huge = np.full((1, 64), 3e38)
    huge[0, ::2] *= -1
    assert served.ask(huge, key).status_code == 400
    assert served.spent()[0] == 0
    assert served.ask(digits[:1], key).status_code == 200


def test_other_models_and_methods_are_refused(served: Served) -> None:
    key = served.key()
    assert served.client.post("/v1/models/other:predict", json={}, headers=key).status_code == 404
    assert served.client.post("/v2/models/other/infer", json={}, headers=key).status_code == 404
    assert served.client.get("/v2/models/other", headers=key).status_code == 404
    assert served.client.get("/nothing").status_code == 404
    answer = served.client.get(INFER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.slow
def test_the_same_question_has_one_answer_byte_for_byte(make_served: Callable[..., Served], digits: np.ndarray) -> None:
    noise = {"name": "gaussian-noise", "scale": 1.0, "keyed": False}
    served = make_served({"answer": [noise]})
    alice, bob = served.key(), served.key("bob")
    answers = {served.ask(digits[:1], alice).content for _ in range(1000)}
    assert len(answers) == 1
    assert served.ask(digits[:1], bob).content in answers
    assert served.spent() == (1, {"alice": 1, "bob": 1})


def test_health_and_metadata_speak_all_protocols(served: Served) -> None:
    client, key = served.client, served.key()
    paths = ["/health/live", "/health/ready", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"]
    paths += ["/v1/models/digits", "/ping", "/health", "/version", "/openapi.json"]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert client.get("/v2/models/digits").status_code == 401
    told = client.get("/v2/models/digits", headers=key).json()
    assert told["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 64]}]
    assert [one["name"] for one in told["outputs"]] == ["scores", "label"]
