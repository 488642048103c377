"""The deployment of docs/gateway.md as it stands there: two gateways behind nginx, with PostgreSQL and Redis."""

from __future__ import annotations

import concurrent.futures
import datetime
import json
import os
import re
import select
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from memberwise.gateway.keys import new_key
from memberwise.gateway.ledger import read_total
from memberwise.gateway.store import Store
from memberwise.store.secret import ensure_secret

DOCS = Path(__file__).parents[2] / "docs" / "gateway.md"
BUDGET = 100


def block(language: str, having: str) -> str:
    """The code block of the page that has this text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = (one for one in blocks if having in one)
    return str(found)


def certificate(folder: Path) -> None:
    """A key and a certificate that it signs itself, for localhost."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - datetime.timedelta(1))
    builder = builder.not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    (folder / "model.crt").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "model.key").write_bytes(private)


@contextmanager
def gateway(policy: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of ``memberwise serve`` and its port."""
    command = [sys.executable, "-m", "memberwise.cli.main", "serve", str(policy), "--port", "0", "--json"]
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else ""
        assert line, "the gateway did not start"
        yield process, int(json.loads(line)["port"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def proxy(program: str, folder: Path, ports: list[int]) -> Iterator[int]:
    """nginx by the page's configuration, with a port and paths of the test's own."""
    from services.processes import free_port, running  # type: ignore[import-not-found]

    port, text = free_port(), block("nginx", "upstream memberwise")
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("/etc/memberwise/tls", str(folder))
    for told, ours in zip((8081, 8082), ports, strict=True):
        text = text.replace(f"127.0.0.1:{told}", f"127.0.0.1:{ours}")
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    (folder / "nginx.conf").write_text(whole)
    context = ssl.create_default_context(cafile=str(folder / "model.crt"))

    def ready() -> bool:
        try:
            return httpx2.get(f"https://localhost:{port}/health/ready", verify=context).status_code == 200
        except httpx2.TransportError:
            return False

    user = "" if os.geteuid() else "user root; "
    command = [program, "-p", folder, "-c", folder / "nginx.conf", "-g", f"{user}daemon off;"]
    with running(command, folder, ready, stop=signal.SIGQUIT):
        yield port


@pytest.fixture
def deployment(
    tmp_path: Path,
    postgresql_database: str,
    redis_url: str,
    nginx: str,
    digits: np.ndarray,
    digits_onnx: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    model = LogisticRegression(max_iter=200).fit(digits[:800], load_digits().target[:800])
    page = block("toml", "rates_env")
    file, names = (json.dumps(digits_onnx[key]) for key in ("file", "classes"))
    served = f"model = {{ file = {file}, shape = [64], classes = {names} }}\n"
    plans = f'\n[plans.default]\nquestions = {BUDGET}\nrates = ["60/hour"]\n[plans.fast]\nrates = ["100000/second"]\n'
    policy = tmp_path / "policy.toml"
    policy.write_text(served + page + plans)
    ensure_secret(tmp_path)
    certificate(tmp_path)
    environment = {"MEMBERWISE_STORE": postgresql_database, "MEMBERWISE_RATES": redis_url}
    with ExitStack() as stack:
        gateways = [stack.enter_context(gateway(policy, environment)) for _ in range(2)]
        port = stack.enter_context(proxy(nginx, tmp_path, [one[1] for one in gateways]))
        store = Store.open(postgresql_database)
        stack.callback(store.close)
        context = ssl.create_default_context(cafile=str(tmp_path / "model.crt"))
        yield {
            "url": f"https://localhost:{port}",
            "store": store,
            "context": context,
            "processes": [one[0] for one in gateways],
            "x": digits,
            "probabilities": model.predict_proba(digits),
        }


def client_of(deployment: dict[str, Any], name: str, plan: str, kind: Any = "client") -> httpx2.Client:
    token = new_key(deployment["store"], name, plan, now=time.time(), kind=kind)
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=deployment["url"], verify=deployment["context"], headers=headers, timeout=60)


def ask(client: httpx2.Client, x: Any) -> httpx2.Response:
    return client.post("/v1/models/model:predict", json={"instances": [x.tolist()]})


@pytest.mark.slow
def test_rates_answers_and_status_are_shared_behind_nginx(deployment: dict[str, Any]) -> None:
    with client_of(deployment, "ward", "default") as client:
        answers = [ask(client, deployment["x"][900]) for _ in range(70)]
        assert [answer.status_code for answer in answers] == [200] * 60 + [429] * 10
        assert len({answer.content for answer in answers[:60]}) == 1
        found = answers[0].json()["predictions"][0]
        np.testing.assert_allclose(found, deployment["probabilities"][900], atol=1e-6)
    assert read_total(deployment["store"]).questions == 1
    # The page for people: signed in by a cookie that goes over TLS alone.
    token = new_key(deployment["store"], "operator", now=time.time(), kind="admin")
    with httpx2.Client(base_url=deployment["url"], verify=deployment["context"]) as client:
        answer = client.post("/status/sign-in", data={"key": token})
        assert answer.status_code == 303
        assert "; Secure" in answer.headers["set-cookie"]
        assert "What the budgets stop" in client.get("/status").text


@pytest.mark.slow
def test_one_gateway_killed_behind_nginx_fails_no_question(deployment: dict[str, Any]) -> None:
    records = deployment["x"][800:1400]
    with client_of(deployment, "busy", "fast") as client:
        killed = deployment["processes"][0]

        def one(i: int) -> int:
            if i == 150:
                killed.send_signal(signal.SIGKILL)
            return ask(client, records[i]).status_code

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            found = list(pool.map(one, range(len(records))))
    assert set(found) == {200}
    assert read_total(deployment["store"]).questions == len(np.unique(records, axis=0))


@pytest.mark.slow
def test_unit_of_the_page_is_one_that_systemd_reads(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "memberwise@.service"
    text = block("ini", "ExecStart").replace("/opt/memberwise/bin/memberwise", "/bin/true")
    unit.write_text(text)
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True)
    assert [line for line in done.stderr.splitlines() if "memberwise" in line] == []
    assert done.returncode == 0
