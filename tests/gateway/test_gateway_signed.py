"""A gateway that serves by signed policies alone; and whose addresses it believes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memberwise.gateway.signing import sign_policy
from memberwise.store.signing import make_key_pair

if TYPE_CHECKING:
    from tests.gateway.gateways import Process

pytestmark = pytest.mark.slow
BODY = {"instances": [[0.5] * 64]}


def test_unsigned_changes_are_not_taken_over(
    digits_onnx: dict[str, Any],
    tmp_path: Path,
    start: Callable[..., Process],
    write_policy: Callable[..., Path],
) -> None:
    private = tmp_path / "signer"
    public = make_key_pair(private)
    folder = tmp_path / "signed"
    folder.mkdir()
    values: dict[str, Any] = {"model": digits_onnx, "plans": {"default": {"questions": 5}}}
    path = write_policy(folder, values)
    command = [sys.executable, "-m", "memberwise.cli.main", "serve", str(path), "--verify-key", str(public)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "not signed" in done.stderr) == (2, True), done.stderr
    sign_policy(path, private)
    gateway = start(folder=folder, flags=("--verify-key", str(public)))

    def limit() -> str:
        with gateway.client(headers) as client:
            return str(client.post("/v1/models/model:predict", json=BODY).headers["RateLimit-Policy"])

    headers = gateway.key()
    values["plans"]["default"]["questions"] = 50
    write_policy(folder, values)
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("the policy in force stays")
    assert limit() == '"questions";q=5'
    sign_policy(path, private)
    gateway.process.send_signal(signal.SIGHUP)
    gateway.wait_for("another policy is in force")
    assert limit() == '"questions";q=50'


@pytest.mark.parametrize("trusted", [True, False])
def test_only_trusted_proxies_say_who_asks(
    digits_onnx: dict[str, Any], start: Callable[..., Process], trusted: bool
) -> None:
    policy = {
        "model": digits_onnx,
        "access": {"anonymous": True},
        "server": {"trusted_proxies": ["127.0.0.1"] if trusted else []},
        "plans": {"default": {"rates": ["2/hour"]}},
    }
    gateway = start(policy)
    with gateway.client() as client:
        statuses = [
            client.post("/v1/models/model:predict", json=BODY, headers={"X-Forwarded-For": address}).status_code
            for address in ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]
    assert statuses == [200, 200, 429, 200 if trusted else 429]
