"""``memberwise serve`` as a process: what it serves, how it reloads and stops, and whom it does not wait for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest
from sklearn.datasets import load_digits

import memberwise as mw
from memberwise.errors import RunFolderError
from memberwise.gateway.keys import Kind, new_key, revoke_key
from memberwise.gateway.ledger import read_clients, read_total
from memberwise.gateway.loading import load_behind
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.store import Store

if TYPE_CHECKING:
    from tests.gateway.gateways import Crowd, OddServer, Process

pytestmark = pytest.mark.slow
DEFENCES = [{"name": "logit-clipping", "r": 3.0}, {"name": "rounding", "digits": 3}]
NAMED = {"server": {"name": "digits"}}


def key(url: str, name: str = "alice", kind: Kind = "client") -> dict[str, str]:
    """The header with a new key, made beside the running gateway."""
    store = Store.open(url)
    token = new_key(store, name, now=time.time(), kind=kind)
    store.close()
    return {"Authorization": f"Bearer {token}"}


def spent(url: str) -> tuple[int, dict[str, int]]:
    store = Store.open(url)
    try:
        return read_total(store).questions, {one.name: one.questions for one in read_clients(store)}
    finally:
        store.close()


def predict(client: httpx2.Client, x: np.ndarray) -> httpx2.Response:
    return client.post("/v1/models/digits:predict", json={"instances": x.tolist()})


def of_number(client: httpx2.Client, number: int) -> httpx2.Response:
    """A question that no other number asks."""
    rng = np.random.default_rng(number)
    return predict(client, rng.random((1, 64)).astype(np.float32))


def model_policy(model: Path, **more: Any) -> dict[str, Any]:
    return {"model": {"file": str(model)}, **NAMED, **more}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, with the policy by which its model was audited."""
    out = tmp_path_factory.mktemp("run") / "digits"
    mw.audit(
        data="digits",
        members=200,
        nonmembers=200,
        shadow_models=2,
        attacks=["loss"],
        seed=3,
        out=out,
        settings={"training.epochs": 4, "model.hidden": [16], "answer": DEFENCES},
    )
    return out


def test_a_released_model_is_served_as_it_was_released(released: Path, start: Callable[..., Process]) -> None:
    # The exported policy, with nothing added.
    gateway = start(folder=released)
    x = load_digits().images[:20]
    expected = mw.load_target(released).predict(x)
    with gateway.client(key(gateway.store_url)) as client:
        flat = x.reshape(20, 64).tolist()
        answers = [
            client.post("/v1/models/model:predict", json={"instances": x.tolist()}).json()["predictions"],
            client.post("/v1/models/model:predict", json={"instances": flat}).json()["predictions"],
            client.post("/invocations", json={"inputs": x.tolist()}).json()["predictions"],
        ]
        tensor = {"name": "x", "shape": [20, 8, 8], "datatype": "FP32", "data": x.ravel().tolist()}
        output = client.post("/v2/models/model/infer", json={"inputs": [tensor]}).json()["outputs"][0]
        answers.append(np.reshape(output["data"], output["shape"]).tolist())
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)
    assert spent(gateway.store_url) == (20, {"alice": 20})


def test_a_released_model_keeps_its_defences(released: Path, tmp_path: Path) -> None:
    for answer, fits in ((DEFENCES, True), (DEFENCES[::-1], False), ([], False), (None, True)):
        values: dict[str, Any] = {"model": {"file": str(released)}} | ({} if answer is None else {"answer": answer})
        if fits:
            behind = load_behind(parse_policy(values, "the test"), tmp_path, b"s" * 32)
            assert behind.kind == "scores"
            asyncio.run(behind.close())
        else:
            with pytest.raises(RunFolderError, match="output defences"):
                load_behind(parse_policy(values, "the test"), tmp_path, b"s" * 32)


def test_shades_are_asked_as_bytes_or_scaled(tmp_path: Path, start: Callable[..., Process]) -> None:
    out = tmp_path / "run"
    x = (load_digits().images * 15).astype(np.uint8)
    mw.audit(
        data=(x, load_digits().target),
        members=200,
        nonmembers=200,
        shadow_models=2,
        attacks=["loss"],
        out=out,
        settings={"training.epochs": 2, "model.hidden": [8]},
    )
    expected = mw.load_target(out).predict(x[:4])
    gateway = start({"model": {"file": str(out)}})
    with gateway.client(key(gateway.store_url)) as client:
        told = client.get("/v2/models/model").json()
        assert told["inputs"][0]["datatype"] == "UINT8"
        scaled = x[:4].astype(np.float32) / np.float32(255)
        for datatype, given in (("UINT8", x[:4]), ("INT64", x[:4]), ("FP32", scaled)):
            tensor = {"name": "x", "shape": [4, 8, 8], "datatype": datatype, "data": given.ravel().tolist()}
            output = client.post("/v2/models/model/infer", json={"inputs": [tensor]}).json()["outputs"][0]
            np.testing.assert_array_equal(np.reshape(output["data"], (4, 10)), expected)
        for given in (x[:4], scaled):
            answer = client.post("/v1/models/model:predict", json={"instances": given.tolist()})
            np.testing.assert_array_equal(answer.json()["predictions"], expected)
        too_light = client.post("/v1/models/model:predict", json={"instances": [[[256] * 8] * 8]})
        assert too_light.status_code == 400
    assert spent(gateway.store_url)[0] == 4


def test_rows_of_a_table_are_encoded_as_in_the_audit(tmp_path: Path, start: Callable[..., Process]) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 90, 300), "job": rng.choice(["nurse", "smith", "clerk"], 300)})
    frame["ill"] = np.where(frame["age"] > 50, "yes", "no")
    mw.audit(
        data=frame,
        label="ill",
        members=100,
        nonmembers=100,
        shadow_models=2,
        attacks=["loss"],
        out=tmp_path / "run",
        settings={"training.epochs": 2, "model.hidden": [8], "answer": DEFENCES},
    )
    expected = mw.load_target(tmp_path / "run").predict(frame[:6])
    gateway = start(folder=tmp_path / "run")
    rows = frame[["job", "age"]][:6]
    split = {"columns": list(rows), "data": rows.to_numpy(object).tolist()}
    records = rows.to_dict("records")
    with gateway.client(key(gateway.store_url)) as client:
        for path, body in (
            ("/invocations", {"dataframe_split": split}),
            ("/invocations", {"dataframe_records": records}),
            ("/v1/models/model:predict", {"instances": records}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            np.testing.assert_array_equal(answer.json()["predictions"], expected)
        for wrong in (
            [{"age": 40}],
            [{"age": "old", "job": "nurse"}],
            [{"age": [1], "job": "nurse"}],
            [{"age": 40, "job": {"a": 1}}],
        ):
            assert 400 <= client.post("/invocations", json={"dataframe_records": wrong}).status_code < 500, wrong
    assert spent(gateway.store_url)[0] == 6


def test_onnx_is_served_without_torch(
    tmp_path: Path, digits_model: Path, digits: np.ndarray, start: Callable[..., Process]
) -> None:
    import skl2onnx  # type: ignore[import-untyped]
    import skops.io
    from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]

    model = skops.io.load(digits_model)
    onnx = skl2onnx.to_onnx(model, initial_types=[("x", FloatTensorType([None, 64]))])
    (tmp_path / "digits.onnx").write_bytes(onnx.SerializeToString())
    given = {"file": str(tmp_path / "digits.onnx"), "classes": [str(i) for i in range(10)], "shape": [64]}
    gateway = start({"model": given, "answer": [{"name": "rounding", "digits": 3}], **NAMED})
    with gateway.client(key(gateway.store_url)) as client:
        answer = predict(client, digits[:9]).json()["predictions"]
    np.testing.assert_allclose(answer, np.round(model.predict_proba(digits[:9]), 3), atol=0.0011)
    assert "libtorch" not in Path(f"/proc/{gateway.process.pid}/maps").read_text()


@pytest.mark.parametrize("module", ["app", "server", "local", "upstream"])
def test_importing_the_gateway_does_not_load_torch(module: str) -> None:
    code = f"import sys, memberwise.gateway.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_gateway_stands_behind_a_gateway(
    digits_model: Path, digits: np.ndarray, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = start(model_policy(digits_model))
    token = key(inner.store_url, "outer")["Authorization"].removeprefix("Bearer ")
    with inner.client({"Authorization": f"Bearer {token}"}) as client:
        expected = np.round(predict(client, digits[:5]).json()["predictions"], 2)
    for protocol in ("v2", "v1", "mlflow"):
        upstream: dict[str, Any] = {
            "url": inner.url,
            "protocol": protocol,
            "model": "digits",
            "token_env": "INNER_TOKEN",
        }
        upstream |= {"classes": [str(i) for i in range(10)], "shape": [64]}
        policy = {"upstream": upstream, "answer": [{"name": "rounding", "digits": 2}], **NAMED}
        outer = start(policy, env={"INNER_TOKEN": token})
        with outer.client(key(outer.store_url)) as client:
            assert client.get("/health/ready").status_code == 200
            answer = predict(client, digits[:5])
            assert answer.status_code == 200, answer.text
            np.testing.assert_allclose(answer.json()["predictions"], expected, atol=1e-12)
            assert answer.headers.get_list("memberwise-tier") == ["vector"]
        assert token not in outer.log.read_text()
    assert spent(inner.store_url) == (5, {"outer": 5})


BUDGET = 1000


def test_a_budget_holds_against_64_clients(
    digits_model: Path, start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    gateway = start(model_policy(digits_model, plans={"default": {"questions": BUDGET}}))
    headers = key(gateway.store_url)
    clients = [gateway.client(headers) for _ in range(64)]
    crowd = at_once(of_number, clients, BUDGET + 300)
    assert (crowd.answered, crowd.statuses.count(429)) == (BUDGET, 300)
    # What was answered is answered again, at no cost.
    again = at_once(of_number, [gateway.client(headers) for _ in range(8)], 200)
    assert again.answered <= 200
    assert spent(gateway.store_url) == (BUDGET, {"alice": BUDGET})


def test_a_budget_holds_over_a_kill_and_a_restart(
    digits_model: Path, start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    policy = model_policy(digits_model, plans={"default": {"questions": BUDGET}})
    gateway = start(policy)
    headers = key(gateway.store_url)
    crowds: list[Crowd] = []
    asking = threading.Thread(
        target=lambda: crowds.append(at_once(of_number, [gateway.client(headers) for _ in range(64)], BUDGET))
    )
    asking.start()
    while spent(gateway.store_url)[0] < 300:
        time.sleep(0.01)
    gateway.process.kill()
    asking.join()
    before = crowds[0].answered
    assert 0 < before < BUDGET
    restarted = start(policy, folder=gateway.folder)
    rest = at_once(
        lambda client, number: of_number(client, 10_000 + number),
        [restarted.client(headers) for _ in range(64)],
        BUDGET,
    )
    assert BUDGET - 64 <= before + rest.answered <= BUDGET
    assert spent(gateway.store_url)[0] == BUDGET


@pytest.mark.services
def test_a_budget_holds_over_two_gateways_on_postgresql(
    digits_model: Path,
    tmp_path: Path,
    start: Callable[..., Process],
    at_once: Callable[..., Crowd],
    postgresql_database: str,
) -> None:
    policy = model_policy(digits_model, plans={"default": {"questions": BUDGET}}, store={"url_env": "GATEWAY_STORE"})
    env = {"GATEWAY_STORE": postgresql_database}
    gateways = [start(policy, env=env)]
    second = tmp_path / "second"
    second.mkdir()
    (second / "secret.key").write_bytes((gateways[0].folder / "secret.key").read_bytes())
    (second / "secret.key").chmod(0o600)
    gateways.append(start(policy, folder=second, env=env))
    headers = key(postgresql_database)
    clients = [gateways[i % 2].client(headers) for i in range(64)]
    crowd = at_once(of_number, clients, BUDGET + 200)
    assert (crowd.answered, crowd.statuses.count(429)) == (BUDGET, 200)
    assert spent(postgresql_database) == (BUDGET, {"alice": BUDGET})
    # Another secret would digest the same records to other questions: such a gateway does not start.
    with pytest.raises(AssertionError, match="secret"):
        start(policy, env=env)


def test_a_key_revoked_elsewhere_is_refused_next(digits_model: Path, start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_model))
    with gateway.client(key(gateway.store_url)) as client:
        assert of_number(client, 1).status_code == 200
        store = Store.open(gateway.store_url)
        revoke_key(store, "alice", now=time.time())
        store.close()
        assert of_number(client, 1).status_code == 401


def test_sighup_changes_the_policy_or_nothing(digits_model: Path, start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_model, plans={"default": {"questions": 3}}))
    path = gateway.folder / "policy.toml"
    good = path.read_text()
    with gateway.client(key(gateway.store_url)) as client:
        assert predict(client, np.ones((1, 64))).headers["RateLimit-Policy"] == '"questions";q=3'
        wrong = ["not = [toml", "unknown = 1", good.replace("digits.skops", "nowhere.skops"), ""]
        wrong += [good.replace('name = "digits"', 'name = "a/b"'), good + '\n[access]\njwt = {issuer = "x"}']
        for number, text in enumerate(wrong):
            path.write_text(text)
            gateway.process.send_signal(signal.SIGHUP)
            gateway.wait_for("the policy in force stays", number + 1)
            assert predict(client, np.ones((1, 64))).headers["RateLimit-Policy"] == '"questions";q=3', text
        path.write_text('answer = [{name = "label-only"}]\n' + good.replace("questions = 3", "questions = 7"))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for("another policy is in force")
        answer = predict(client, np.ones((1, 64)))
        assert answer.headers["RateLimit-Policy"] == '"questions";q=7'
        assert type(answer.json()["predictions"][0]) is int
        # What was spent stays spent; under other output defences the record is another question.
        assert answer.headers["RateLimit"] == '"questions";r=5'


def test_no_request_is_dropped_while_policies_change(
    digits_model: Path, start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    gateway = start(model_policy(digits_model))
    headers = key(gateway.store_url)
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            gateway.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)

    changing = threading.Thread(target=change)
    changing.start()
    crowd = at_once(of_number, [gateway.client(headers) for _ in range(16)], 1500)
    over.set()
    changing.join()
    assert crowd.statuses == [200] * 1500
    assert sum(line["event"] == "another policy is in force" for line in gateway.logs()) > 3


def test_a_stop_answers_what_was_taken(
    odd_server: OddServer, start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    def answer(_: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        time.sleep(1.5)
        rows = len(json.loads(body)["instances"])
        return 200, {"Content-Type": "application/json"}, json.dumps({"predictions": [[0.5, 0.5]] * rows}).encode()

    odd_server.answer = answer
    upstream = {"url": odd_server.url, "protocol": "v1", "model": "m", "classes": ["no", "yes"], "shape": [64]}
    gateway = start({"upstream": upstream, **NAMED})
    headers = key(gateway.store_url)
    crowds: list[Crowd] = []
    clients = [gateway.client(headers) for _ in range(16)]
    asking = threading.Thread(target=lambda: crowds.append(at_once(of_number, clients, 16)))
    asking.start()
    while not odd_server.asked:
        time.sleep(0.01)
    time.sleep(0.5)
    assert gateway.stop() == 0
    asking.join()
    assert crowds[0].statuses == [200] * 16
    with pytest.raises(httpx2.ConnectError), gateway.client(headers) as client:
        of_number(client, 1)


def connection(gateway: Process) -> socket.socket:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def until_closed(one: socket.socket) -> bytes:
    parts = []
    while part := one.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_slow_clients_are_not_waited_for(digits_model: Path, start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_model, server={"name": "digits", "timeout": 1.0}))
    headers = key(gateway.store_url)
    authorization = headers["Authorization"]
    head = f"POST /v1/models/digits:predict HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
    started = [
        b"",
        b"POST /v1/mod",
        head.encode(),
        f"{head}Content-Length: 1000\r\n\r\n{{".encode(),
        f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{".encode(),
    ]
    for said in started:
        began = time.monotonic()
        with connection(gateway) as one:
            one.sendall(said)
            answer = until_closed(one)
        assert time.monotonic() - began < 8
        assert b" 408 " in answer.partition(b"\r\n")[0], said
    # One letter every now and then is no progress either.
    with connection(gateway) as one:
        began = time.monotonic()
        try:
            for letter in head.encode() * 3:
                one.sendall(bytes([letter]))
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - began < 8
    with gateway.client(headers) as client:
        assert of_number(client, 1).status_code == 200
    assert spent(gateway.store_url)[0] == 1


def test_what_is_no_http_is_refused(digits_model: Path, start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_model))
    for said in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    ):
        with connection(gateway) as one:
            try:
                one.sendall(said)
                answer = until_closed(one)
            except ConnectionError:
                continue
        assert b" 400 " in answer.partition(b"\r\n")[0], said[:40]
        assert b"application/problem+json" in answer
        assert b"uvicorn" not in answer
    with gateway.client() as client:
        assert client.get("/health/live").status_code == 200


def certificate(folder: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def test_tls_is_spoken_where_a_certificate_is_given(
    digits_model: Path, tmp_path: Path, start: Callable[..., Process]
) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate(folder)
    server = {"name": "digits", "certificate": "cert.pem", "private_key": "key.pem", "host": "localhost"}
    gateway = start(model_policy(digits_model, server=server), folder=folder)
    assert gateway.url.startswith("https://localhost:")
    trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    with gateway.client(key(gateway.store_url), verify=trusting) as client:
        assert of_number(client, 1).status_code == 200
    with pytest.raises(httpx2.HTTPError), gateway.client() as client:
        client.get("/health/live")


def test_no_secret_is_ever_said(
    tmp_path: Path, odd_server: OddServer, start: Callable[..., Process], postgresql_database: str
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "headers").write_text("X-Api-Key: header-secret-5521")
    odd_server.says(b"<html>upstream-says-7731</html>", 500, X_Debug="upstream-says-7731")
    upstream = {"url": odd_server.url, "protocol": "v1", "model": "m", "classes": ["no", "yes"], "shape": [64]}
    upstream |= {"token_env": "UPSTREAM_TOKEN", "headers_file": "headers"}
    # Trusted authentication takes any password, so that there is one to be told.
    with_password = postgresql_database.replace("postgres@", "postgres:database-password-9917@")
    env = {"UPSTREAM_TOKEN": "upstream-token-3342", "GATEWAY_STORE": with_password}
    gateway = start({"upstream": upstream, "store": {"url_env": "GATEWAY_STORE"}, **NAMED}, folder=folder, env=env)
    headers, admin = key(postgresql_database), key(postgresql_database, "root", "admin")
    said: list[str] = []
    with gateway.client() as client:
        for given in (headers, admin, {}, {"Authorization": "Bearer mw_wrong-token-8812"}):
            for path in ("/v2/models/digits", "/metrics", "/openapi.json", "/health/ready", "/nothing"):
                answer = client.get(path, headers=given)
                said.append(answer.text + repr(dict(answer.headers)))
            answer = client.post("/v1/models/digits:predict", json={"instances": [[0.123456789] * 64]}, headers=given)
            said.append(answer.text + repr(dict(answer.headers)))
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("another policy is in force")
    (folder / "policy.toml").write_text("broken = 'policy-secret-1'")
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("the policy in force stays")
    assert gateway.stop() == 0
    store = Store.open(postgresql_database)
    with store.reading() as connection:
        for table in ("ledger", "clients", "api_keys", "records", "grants", "counters"):
            said += [repr(tuple(row)) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
    store.close()
    said.append(gateway.log.read_text())
    everything = "\n".join(said)
    tokens = [one["Authorization"].removeprefix("Bearer ") for one in (headers, admin)]
    secrets = [*tokens, *(token[-20:] for token in tokens), (folder / "secret.key").read_text().strip()]
    secrets += ["upstream-token-3342", "header-secret-5521", "database-password-9917", "upstream-says-7731"]
    secrets += ["wrong-token-8812", "policy-secret-1", "0.123456789"]
    assert [secret for secret in secrets if secret in everything] == []
    # They were all in use, else nothing was tried.
    assert any(
        "header-secret-5521" in repr(asked) and "upstream-token-3342" in repr(asked) for asked in odd_server.asked
    )


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memberwise.cli.main", "serve", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, **(env or {})})


def test_what_cannot_be_served_is_told_at_the_start(tmp_path: Path, digits_model: Path) -> None:
    def policy(text: str) -> Path:
        path = tmp_path / "policy.toml"
        path.write_text(text)
        return path

    model = f'[model]\nfile = "{digits_model}"\n'
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run(tmp_path / "nowhere.toml")
        assert (done.returncode, "cannot be read" in done.stderr) == (2, True), done.stderr
        done = run(policy(model), "--port", "99999")
        assert (done.returncode, "no port" in done.stderr) == (2, True), done.stderr
        done = run(policy(model), "--port", str(taken.getsockname()[1]))
        assert (done.returncode, "nothing can listen" in done.stderr) == (2, True), done.stderr
    for text, words in (
        ("nonsense = 1", "unknown key"),
        ('[model]\nfile = "nowhere.skops"', "not there"),
        ('[model]\nfile = "nowhere"', "no model"),
        (model + '[server]\ncertificate = "a.pem"', "private key"),
        (model + '[server]\ncertificate = "a.pem"\nprivate_key = "b.pem"', "certificate"),
        (model + '[store]\nurl_env = "NOWHERE"', "NOWHERE"),
        (f'answer = [{{name = "nothing"}}]\n{model}', "nothing"),
    ):
        done = run(policy(text), "--port", "0")
        assert (done.returncode, words in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
