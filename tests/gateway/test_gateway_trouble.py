"""Slow clients, clients that speak no HTTP, and secrets that nobody is to read."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memberwise.gateway.store import Store

if TYPE_CHECKING:
    from tests.gateway.gateways import OddServer, Process

pytestmark = pytest.mark.slow
NAMED = {"server": {"name": "digits"}}


def model_policy(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": model, **NAMED, **more}


def connection(gateway: Process) -> socket.socket:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def until_closed(one: socket.socket) -> bytes:
    parts = []
    while part := one.recv(65536):
        parts.append(part)
    return b"".join(parts)


def dribble(one: socket.socket, letters: bytes) -> None:
    for letter in letters:
        one.sendall(bytes([letter]))
        time.sleep(0.1)


def test_slow_clients_are_not_waited_for(digits_onnx: dict[str, Any], start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_onnx, server={"name": "digits", "timeout": 1.0}))
    headers = gateway.key()
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
        with connection(gateway) as one:
            one.sendall(said)
            answer = until_closed(one)
        assert b" 408 " in answer.partition(b"\r\n")[0], said
    # One letter every now and then is no progress either.
    with connection(gateway) as one, pytest.raises(ConnectionError):
        dribble(one, head.encode() * 3)
    with gateway.client(headers) as client:
        assert gateway.of_number(client, 1).status_code == 200
    assert gateway.spent()[0] == 1


def test_what_is_no_http_is_refused(digits_onnx: dict[str, Any], start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_onnx))
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
    gateway = start(
        {"upstream": upstream, "store": {"url_env": "GATEWAY_STORE"}, **NAMED},
        folder=folder,
        env=env,
        store_url=postgresql_database,
    )
    headers, admin = gateway.key(), gateway.key("root", "admin")
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
