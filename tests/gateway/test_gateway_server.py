"""``memberwise serve`` as a process: how it starts, changes its policy and stops."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest
import tomli_w
from typer.testing import CliRunner

from memberwise.cli.main import app
from memberwise.gateway.keys import revoke_key
from memberwise.gateway.store import Store

if TYPE_CHECKING:
    from tests.gateway.gateways import Crowd, OddServer, Process

pytestmark = pytest.mark.slow
NAMED = {"server": {"name": "digits"}}


def model_policy(model: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": model, **NAMED, **more}


def test_a_key_revoked_elsewhere_is_refused_next(digits_onnx: dict[str, Any], start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_onnx))
    with gateway.client(gateway.key()) as client:
        assert gateway.of_number(client, 1).status_code == 200
        store = Store.open(gateway.store_url)
        revoke_key(store, "alice", now=time.time())
        store.close()
        assert gateway.of_number(client, 1).status_code == 401


def test_sighup_changes_the_policy_or_nothing(digits_onnx: dict[str, Any], start: Callable[..., Process]) -> None:
    gateway = start(model_policy(digits_onnx, plans={"default": {"questions": 3}}))
    path = gateway.folder / "policy.toml"
    good = path.read_text()
    with gateway.client(gateway.key()) as client:
        assert gateway.predict(client, np.ones((1, 64))).headers["RateLimit-Policy"] == '"questions";q=3'
        wrong = ["not = [toml", "unknown = 1", good.replace("digits.onnx", "nowhere.onnx"), ""]
        wrong += [good.replace('name = "digits"', 'name = "a/b"'), good + '\n[access]\njwt = {issuer = "x"}']
        for number, text in enumerate(wrong):
            path.write_text(text)
            gateway.process.send_signal(signal.SIGHUP)
            gateway.wait_for("the policy in force stays", number + 1)
            assert gateway.predict(client, np.ones((1, 64))).headers["RateLimit-Policy"] == '"questions";q=3', text
        path.write_text('answer = [{name = "label-only"}]\n' + good.replace("questions = 3", "questions = 7"))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_for("another policy is in force")
        answer = gateway.predict(client, np.ones((1, 64)))
        assert answer.headers["RateLimit-Policy"] == '"questions";q=7'
        assert type(answer.json()["predictions"][0]) is int
        # What was spent stays spent; under other output defences the record is another question.
        assert answer.headers["RateLimit"] == '"questions";r=5'


def test_no_request_is_dropped_while_policies_change(
    digits_onnx: dict[str, Any], start: Callable[..., Process], at_once: Callable[..., Crowd]
) -> None:
    gateway = start(model_policy(digits_onnx))
    headers = gateway.key()
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            gateway.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)

    changing = threading.Thread(target=change)
    changing.start()
    crowd = at_once(gateway.of_number, [gateway.client(headers) for _ in range(16)], 1500)
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
    headers = gateway.key()
    crowds: list[Crowd] = []
    clients = [gateway.client(headers) for _ in range(16)]
    asking = threading.Thread(target=lambda: crowds.append(at_once(gateway.of_number, clients, 16)))
    asking.start()
    while not odd_server.asked:
        time.sleep(0.01)
    time.sleep(0.5)
    assert gateway.stop() == 0
    asking.join()
    assert crowds[0].statuses == [200] * 16
    with pytest.raises(httpx2.ConnectError), gateway.client(headers) as client:
        gateway.of_number(client, 1)


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
    digits_onnx: dict[str, Any], tmp_path: Path, start: Callable[..., Process]
) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    certificate(folder)
    server = {"name": "digits", "certificate": "cert.pem", "private_key": "key.pem", "host": "localhost"}
    gateway = start(model_policy(digits_onnx, server=server), folder=folder)
    assert gateway.url.startswith("https://localhost:")
    trusting = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    with gateway.client(gateway.key(), verify=trusting) as client:
        assert gateway.of_number(client, 1).status_code == 200
    with pytest.raises(httpx2.HTTPError), gateway.client() as client:
        client.get("/health/live")


def refusal(*arguments: str | Path) -> tuple[int, str]:
    """Exit status and standard error of ``memberwise serve``."""
    done = CliRunner().invoke(app, ["serve", *map(str, arguments)])
    assert isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


def test_what_cannot_be_served_is_told_at_the_start(tmp_path: Path, digits_onnx: dict[str, Any]) -> None:
    def policy(text: str) -> Path:
        path = tmp_path / "policy.toml"
        path.write_text(text)
        return path

    model = tomli_w.dumps({"model": digits_onnx})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, words in (
            ((tmp_path / "nowhere.toml",), "cannot be read"),
            ((policy(model), "--port", "99999"), "no port"),
            ((policy(model), "--port", port), "nothing can listen"),
        ):
            code, message = refusal(*arguments)
            assert (code, words in message) == (2, True), message
    for text, words in (
        ("nonsense = 1", "unknown key"),
        ('[model]\nfile = "nowhere.skops"', "not there"),
        ('[model]\nfile = "nowhere"', "no model"),
        (model + '[server]\ncertificate = "a.pem"', "private key"),
        (model + '[server]\ncertificate = "a.pem"\nprivate_key = "b.pem"', "certificate"),
        (model + '[store]\nurl_env = "NOWHERE"', "NOWHERE"),
        (f'answer = [{{name = "nothing"}}]\n{model}', "nothing"),
    ):
        code, message = refusal(policy(text), "--port", "0")
        assert (code, words in message) == (2, True), message
