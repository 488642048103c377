"""A server behind the gateway: nothing but its figures passes, and what it does wrong costs nobody a question."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memberwise.errors import StudyError

if TYPE_CHECKING:
    from tests.gateway.gateways import OddServer, Served

CLASSES = ["no", "maybe", "yes"]
X = np.array([[0.25, 0.5], [1.0, 2.0]])
P = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
CANARY = "canary-that-must-not-pass"


def upstream(server: OddServer, protocol: str = "v1", **more: Any) -> dict[str, Any]:
    given = {"url": server.url, "protocol": protocol, "model": "m", "classes": CLASSES, "shape": [2], "timeout": 2.0}
    return {"upstream": given | more}


def v2_answer(rows: Any = P, name: str = "probabilities", **more: Any) -> dict[str, Any]:
    flat = np.asarray(rows)
    output = {"name": name, "datatype": "FP64", "shape": list(flat.shape), "data": flat.ravel().tolist()}
    return {"model_name": "m", "outputs": [output], **more}


def test_every_protocol_is_spoken_upstream(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    cases: list[tuple[str, Any, str]] = [
        ("v1", {"predictions": P}, "/v1/models/m:predict"),
        ("mlflow", {"predictions": P}, "/invocations"),
        ("mlflow", {"predictions": [dict(zip(CLASSES, row, strict=True)) for row in P]}, "/invocations"),
        ("v2", v2_answer(), "/v2/models/m/infer"),
    ]
    for protocol, says, path in cases:
        served = make_served(upstream(odd_server, protocol))
        odd_server.says(says)
        answer = served.ask(X, served.key())
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": P}
        asked_path, _, body = odd_server.asked[-1]
        assert asked_path == path
        asked = json.loads(body)
        values = asked["inputs"][0]["data"] if protocol == "v2" else asked.get("instances", asked.get("inputs"))
        np.testing.assert_array_equal(np.reshape(values, (2, 2)), X)


@pytest.mark.slow
def test_kinds_of_answers_are_told(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    logits = [[1.0, -2.0, 3.0], [5.0, 0.0, 0.5]]
    soft = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).tolist()
    cases: list[tuple[Any, Any, dict[str, Any]]] = [
        (P, P, {}),
        (logits, soft, {}),
        ([[0.9, 0.9, 0.2], [0.1, 0.8, 0.7]], [[0.9, 0.9, 0.2], [0.1, 0.8, 0.7]], {}),
        ([2, 0], [2, 0], {}),
        ([[2], [0]], [2, 0], {}),
        (["yes", "no"], [2, 0], {}),
        ([2.0, 1.0], [2, 1], {}),
        ([0.25, 0.5], [[0.75, 0.25], [0.5, 0.5]], {"classes": ["no", "yes"]}),
        ([1, 0], [[0.0, 1.0], [1.0, 0.0]], {"classes": ["no", "yes"], "answers": "probabilities"}),
    ]
    for says, expected, more in cases:
        served = make_served(upstream(odd_server, **more))
        odd_server.says({"predictions": says})
        answer = served.ask(X, served.key())
        assert answer.status_code == 200, (says, answer.text)
        np.testing.assert_allclose(answer.json()["predictions"], expected, atol=1e-12)


LIES: list[tuple[str, Any]] = [
    ("fewer records", {"predictions": P[:1]}),
    ("more records", {"predictions": [*P, P[0]]}),
    ("fewer classes", {"predictions": [[0.5, 0.5], [0.5, 0.5]]}),
    ("ragged", {"predictions": [[0.2, 0.3, 0.5], [1.0]]}),
    ("texts", {"predictions": [["a", "b", "c"], ["a", "b", "c"]]}),
    ("null", {"predictions": [[None, 0.5, 0.5], [0.2, 0.3, 0.5]]}),
    ("true", {"predictions": [[True, False, False], [True, False, False]]}),
    ("NaN", b'{"predictions": [[NaN, 0.5, 0.5], [0.2, 0.3, 0.5]]}'),
    ("infinity", b'{"predictions": [[1e999, 0.5, 0.5], [0.2, 0.3, 0.5]]}'),
    ("huge", b'{"predictions": [[' + b"9" * 400 + b", 0, 0], [0.2, 0.3, 0.5]]}"),
    ("another key", {"answers": P}),
    ("an array", P),
    ("text", b'"hello"'),
    ("no JSON", b"<html>" + CANARY.encode() + b"</html>"),
    ("nothing", b""),
    ("nested", b'{"predictions": ' + b"[" * 100_000 + b"}"),
    ("huge body", b'{"predictions": ' + b" " * 500_000 + json.dumps(P).encode() + b"}"),
    ("a label out of range", {"predictions": [3, 0]}),
    ("unknown labels", {"predictions": ["perhaps", "no"]}),
]


@pytest.mark.parametrize(("name", "says"), LIES, ids=[name for name, _ in LIES])
def test_lies_are_502_and_cost_nothing(
    make_served: Callable[..., Served], odd_server: OddServer, name: str, says: Any
) -> None:
    served = make_served(upstream(odd_server))
    key = served.key()
    odd_server.says(says, x_secret=CANARY)
    answer = served.ask(X, key)
    assert answer.status_code == 502, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert CANARY not in answer.text + repr(dict(answer.headers))
    assert served.spent() == (0, {"alice": 0})
    # Once it is itself again the same question is answered.
    odd_server.says({"predictions": P})
    assert served.ask(X, key).json() == {"predictions": P}
    assert served.spent() == (2, {"alice": 2})


@pytest.mark.parametrize("status", [201, 204, 301, 302, 400, 401, 403, 404, 422, 429, 500, 503])
def test_other_statuses_are_502(make_served: Callable[..., Served], odd_server: OddServer, status: int) -> None:
    served = make_served(upstream(odd_server))
    odd_server.says({"predictions": P, "why": CANARY}, status, Location=f"{odd_server.url}/other", X_Trace=CANARY)
    answer = served.ask(X, served.key())
    assert answer.status_code == 502
    assert CANARY not in answer.text + repr(dict(answer.headers))
    assert {path for path, _, _ in odd_server.asked} == {"/v1/models/m:predict"}
    assert served.spent()[0] == 0


def test_kinds_that_change_are_502(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    served = make_served(upstream(odd_server))
    key = served.key()
    odd_server.says({"predictions": P})
    assert served.ask(X, key).status_code == 200
    for says in ([[3.0, -1.0, 2.0]], [2], [[0.9, 0.9, 0.9]], ["yes"]):
        odd_server.says({"predictions": says})
        assert served.ask(X[:1] + 7, key).status_code == 502, says
    odd_server.says({"predictions": [[0.33, 0.33, 0.33]]})  # rounded ones need not sum to 1
    assert served.ask(X[:1] + 7, key).status_code == 200


def test_logits_do_not_become_probabilities(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    served = make_served(upstream(odd_server))
    key = served.key()
    odd_server.says({"predictions": [[3.0, -1.0, 2.0]]})
    assert served.ask(X[:1], key).status_code == 200
    odd_server.says({"predictions": P[:1]})
    assert served.ask(X[1:], key).status_code == 502


def test_nothing_but_the_answer_passes(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    served = make_served(upstream(odd_server, "v2"))
    key = served.key()
    said = v2_answer(parameters={"x": CANARY}, id=CANARY, model_version=CANARY)
    said["outputs"].append({"name": CANARY, "datatype": "FP64", "shape": [2, 3], "data": [9.25] * 6})
    said["outputs"][0]["parameters"] = {"x": CANARY}
    odd_server.says(said, Server_Timing=CANARY, Set_Cookie=CANARY, Server=CANARY, X_Model=CANARY)
    body = {"id": "7", "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": X.ravel().tolist()}]}
    answer = served.client.post("/v2/models/digits/infer", json=body, headers={**key, "X-Client": "secret"})
    assert answer.status_code == 200
    assert CANARY not in answer.text + repr(dict(answer.headers))
    assert "9.25" not in answer.text
    # Nor does anything of the client's pass to the server.
    _, headers, sent = odd_server.asked[-1]
    assert "Authorization" not in headers
    assert "X-Client" not in headers
    assert json.loads(sent).keys() == {"inputs"}


def test_token_and_headers_are_sent_upstream(
    make_served: Callable[..., Served], odd_server: OddServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "headers").write_text("X-Team: blue\n\nX-Other:  a b \n")
    monkeypatch.setenv("UPSTREAM_TOKEN", "upstream-secret")
    more = {"token_env": "UPSTREAM_TOKEN", "headers_file": str(tmp_path / "headers")}
    served = make_served(upstream(odd_server, **more))
    odd_server.says({"predictions": P})
    assert served.ask(X, served.key()).status_code == 200
    headers = odd_server.asked[-1][1]
    assert headers["Authorization"] == "Bearer upstream-secret"
    assert (headers["X-Team"], headers["X-Other"]) == ("blue", "a b")
    monkeypatch.delenv("UPSTREAM_TOKEN")
    with pytest.raises(StudyError, match="token"):
        make_served(upstream(odd_server, **more))


def test_output_defences_are_the_audits(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    answer = [{"name": "logit-clipping", "r": 1.0}, {"name": "rounding", "digits": 2}]
    served = make_served(upstream(odd_server) | {"answer": answer})
    odd_server.says({"predictions": P})
    z = np.clip(np.log(P), -1, 1)
    # What a cut at the top ties with the label goes a millionth below it; two digits do not show that.
    expected = np.round(np.exp(z) / np.exp(z).sum(1, keepdims=True), 2)
    np.testing.assert_allclose(served.ask(X, served.key()).json()["predictions"], expected, atol=1e-9)


def test_defences_that_ask_further_do(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    served = make_served(upstream(odd_server, answers="probabilities") | {"answer": [{"name": "image-noise"}]})

    def answer(_: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        rows = len(json.loads(body)["instances"])
        return 200, {"Content-Type": "application/json"}, json.dumps({"predictions": [P[0]] * rows}).encode()

    odd_server.answer = answer
    assert served.ask(X, served.key()).json()["predictions"] == [P[0], P[0]]
    asked = [np.array(json.loads(body)["instances"]) for _, _, body in odd_server.asked]
    assert any((one != X).any() for one in asked if one.shape == X.shape)


def test_a_server_that_is_down_is_502(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    served = make_served(upstream(odd_server, url="http://127.0.0.1:1"))
    answer = served.ask(X, served.key())
    assert (answer.status_code, answer.json()["type"]) == (502, "urn:problem-type:memberwise:bad-answer")
    assert "127.0.0.1" not in answer.text
    assert served.client.get("/health/ready").status_code == 503
    assert served.client.get("/health/live").status_code == 200
    assert served.spent()[0] == 0


@pytest.mark.slow
def test_a_slow_server_is_504(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    served = make_served(upstream(odd_server, timeout=0.5))
    key = served.key()
    free = threading.Event()

    def answer(_: str, __: bytes) -> tuple[int, dict[str, str], bytes]:
        free.wait(60)
        return 200, {"Content-Type": "application/json"}, json.dumps({"predictions": P}).encode()

    odd_server.answer = answer
    assert served.ask(X, key).status_code == 504, "long before the server answers"
    assert served.spent()[0] == 0
    free.set()
    assert served.ask(X, key).status_code == 200


@pytest.mark.slow
def test_one_bad_record_harms_no_other_client(
    make_served: Callable[..., Served], odd_server: OddServer, at_once: Callable[..., Any]
) -> None:
    """Questions that arrive together are asked together; a record the server cannot bear fails alone."""
    served = make_served(upstream(odd_server) | {"plans": {"default": {"questions": 1000}}})
    keys = [served.key(f"client {i}") for i in range(8)]

    def answer(_: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        rows = json.loads(body)["instances"]
        if any(row[0] == 666 for row in rows):
            return 500, {}, b"boom"
        return 200, {"Content-Type": "application/json"}, json.dumps({"predictions": [P[0]] * len(rows)}).encode()

    odd_server.answer = answer
    statuses: dict[int, int] = {}

    def work(number: int) -> None:
        x = np.array([[666.0 if number % 4 == 0 else number, number]])
        statuses[number] = served.ask(x, keys[number % 8]).status_code

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {statuses[number] for number in range(64) if number % 4 == 0} == {502}
    assert {statuses[number] for number in range(64) if number % 4} == {200}
    assert served.spent()[0] == 48
    # Some were asked together, else nothing was tried.
    assert max(len(json.loads(body)["instances"]) for _, _, body in odd_server.asked) > 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"url": "ftp://127.0.0.1"}, "address"),
        ({"url": "http://user:pass@127.0.0.1"}, "password"),
        ({"model": None}, "name"),
        ({"protocol": "v2", "datatype": "BYTES"}, "datatype"),
        ({"headers_file": "nowhere"}, "headers"),
        ({"answers": "labels"}, "needs scores"),
    ],
)
def test_upstreams_that_cannot_be_asked_are_refused(
    make_served: Callable[..., Served], odd_server: OddServer, more: dict[str, Any], words: str
) -> None:
    given = upstream(odd_server, **more)
    given["upstream"] = {key: value for key, value in given["upstream"].items() if value is not None}
    with pytest.raises(StudyError, match=words):
        make_served(given | {"answer": [{"name": "rounding"}]})


def test_defences_that_learn_are_refused(make_served: Callable[..., Served], odd_server: OddServer) -> None:
    with pytest.raises(StudyError, match="memguard") as refused:
        make_served(upstream(odd_server) | {"answer": [{"name": "memguard"}]})
    assert "serve the folder" in str(refused.value)
