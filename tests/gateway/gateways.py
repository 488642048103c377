"""Gateways for tests: in the test's own process, as processes of their own, and servers to stand behind them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pytest
import tomli_w

from memberwise.gateway.keys import Kind, new_key
from memberwise.gateway.ledger import read_clients, read_total
from memberwise.gateway.policy import parse_policy
from memberwise.gateway.store import Store
from memberwise.store.secret import ensure_secret, read_secret

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from memberwise.gateway.app import Gateway

CLASSES = [str(number) for number in range(10)]
SHAPE = [64]
# Rates and neighbourhoods that stop nobody, so that a test's own limits are the only ones.
FREE: dict[str, Any] = {
    "plans": {"default": {"rates": ["1000000/second"]}},
    "budget": {"neighbourhood": {"questions": 1_000_000}},
}


def _joined(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in more.items():
        out[key] = _joined(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """``(1797, 64)`` float32 in [0, 1]."""
    from sklearn.datasets import load_digits

    return np.asarray(load_digits().data / 16, np.float32)


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory, digits: np.ndarray) -> Path:
    """A scikit-learn classifier of digits as a skops file."""
    import skops.io
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    path = tmp_path_factory.mktemp("model") / "digits.skops"
    skops.io.dump(LogisticRegression(max_iter=200).fit(digits[:800], load_digits().target[:800]), path)
    return path


@pytest.fixture(scope="session")
def digits_onnx(tmp_path_factory: pytest.TempPathFactory, digits: np.ndarray) -> dict[str, Any]:
    """The same classifier as ONNX, as a policy's ``model``: processes begin three seconds sooner than with skops."""
    import skl2onnx  # type: ignore[import-untyped]
    from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    path = tmp_path_factory.mktemp("model") / "digits.onnx"
    fitted = LogisticRegression(max_iter=200).fit(digits[:800], load_digits().target[:800])
    options = {"zipmap": False}
    made = skl2onnx.to_onnx(fitted, initial_types=[("x", FloatTensorType([None, 64]))], options=options)
    path.write_bytes(made.SerializeToString())
    return {"file": str(path), "classes": [str(label) for label in range(10)], "shape": [64]}


@dataclass
class Served:
    """A gateway in the test's own process."""

    client: TestClient
    store: Store
    gateway: Gateway
    folder: Path
    name: str = "digits"

    def key(self, name: str = "alice", plan: str = "default", kind: Kind = "client") -> dict[str, str]:
        """The header with a new key."""
        token = new_key(self.store, name, plan, now=time.time(), kind=kind)
        return {"Authorization": f"Bearer {token}"}

    def ask(self, x: Any, headers: Mapping[str, str], **more: Any) -> httpx2.Response:
        """By v1."""
        values = x.tolist() if isinstance(x, np.ndarray) else x
        return self.client.post(f"/v1/models/{self.name}:predict", json={"instances": values}, headers=headers, **more)

    def spent(self) -> tuple[int, dict[str, int]]:
        """Questions in total and by client."""
        return read_total(self.store).questions, {one.name: one.questions for one in read_clients(self.store)}


@pytest.fixture
def make_served(tmp_path: Path, digits_model: Path) -> Iterator[Callable[..., Served]]:
    """From a policy's keys to a gateway in this process; without a model they get the digits'."""
    from starlette.testclient import TestClient

    from memberwise.gateway.app import make_app
    from memberwise.gateway.loading import load_behind

    open_ones: list[TestClient] = []

    def make(values: Mapping[str, Any] | None = None, clock: Callable[[], float] = time.time) -> Served:
        given = _joined(FREE, values or {})
        if "upstream" not in given:
            given.setdefault("model", {"file": str(digits_model)})
        given = _joined({"server": {"name": "digits"}}, given)
        folder = tmp_path / f"gateway-{len(open_ones)}"
        folder.mkdir()
        ensure_secret(folder)
        secret, policy = read_secret(folder), parse_policy(given, "the test")
        store = Store.open(f"sqlite:///{folder / 'gateway.sqlite'}")
        behind = load_behind(policy, folder, secret)
        app = make_app(policy, folder, store=store, behind=behind, secret=secret, clock=clock)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        open_ones.append(client)
        return Served(client, store, app.state.gateway, folder, policy.server.name)

    yield make
    for client in open_ones:
        client.__exit__(None, None, None)


@dataclass
class Process:
    """``memberwise serve`` as a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    log: Path
    store_url: str

    def key(self, name: str = "alice", kind: Kind = "client") -> dict[str, str]:
        """The header with a new key, made beside the running gateway."""
        store = Store.open(self.store_url)
        token = new_key(store, name, now=time.time(), kind=kind)
        store.close()
        return {"Authorization": f"Bearer {token}"}

    def spent(self) -> tuple[int, dict[str, int]]:
        """Questions in total and by client."""
        store = Store.open(self.store_url)
        try:
            return read_total(store).questions, {one.name: one.questions for one in read_clients(store)}
        finally:
            store.close()

    @staticmethod
    def predict(client: httpx2.Client, x: np.ndarray) -> httpx2.Response:
        """Ask about these records by v1."""
        return client.post("/v1/models/digits:predict", json={"instances": x.tolist()})

    @staticmethod
    def of_number(client: httpx2.Client, number: int) -> httpx2.Response:
        """A question that no other number asks."""
        return Process.predict(client, np.random.default_rng(number).random((1, 64)).astype(np.float32))

    def client(self, headers: Mapping[str, str] | None = None, **more: Any) -> httpx2.Client:
        """A client of it, which reads nothing from the environment."""
        return httpx2.Client(base_url=self.url, headers=dict(headers or {}), trust_env=False, timeout=60, **more)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(how)
        return self.process.wait(60)

    def logs(self) -> list[dict[str, Any]]:
        """All that it logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def wait_for(self, event: str, times: int = 1) -> None:
        """Until it has logged this."""
        end = time.monotonic() + 60
        while sum(line.get("event") == event for line in self.logs()) < times:
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.05)


def write_free_policy(folder: Path, values: Mapping[str, Any]) -> Path:
    path = folder / "policy.toml"
    path.write_text(tomli_w.dumps(_joined(FREE, values)))
    return path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """From a policy's keys, or a folder with a policy, to a running gateway."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(
        values: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
        flags: tuple[str, ...] = (),
        store_url: str | None = None,
    ) -> Process:
        place = folder or tmp_path / f"process-{len(processes)}"
        place.mkdir(exist_ok=True)
        path = place / "policy.toml" if values is None else write_free_policy(place, values)
        log = place / f"log-{len(processes)}.jsonl"
        command = [sys.executable, "-m", "memberwise.cli.main", "serve", str(path), "--port", "0", "--json", *flags]
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            )
        processes.append(process)
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 120)
        line = process.stdout.readline() if ready else b""
        assert line, log.read_text()[-3000:]
        url = json.loads(line)["url"]
        return Process(process, url, place, log, store_url or f"sqlite:///{place / 'gateway.sqlite'}")

    yield begin
    for process in processes:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


Reply = tuple[int, Mapping[str, str], bytes]


@dataclass
class OddServer:
    """A server behind the gateway that answers whatever a test says."""

    url: str
    answer: Callable[[str, bytes], Reply] = lambda _path, _body: (404, {}, b"")
    asked: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    def says(self, values: Any, status: int = 200, **headers: str) -> None:
        """From now on this JSON (or these bytes) to every question."""
        body = values if isinstance(values, bytes) else json.dumps(values).encode()
        told = {"Content-Type": "application/json", **{key.replace("_", "-"): text for key, text in headers.items()}}
        self.answer = lambda _path, _body: (status, told, body)


@pytest.fixture
def odd_server() -> Iterator[OddServer]:
    server: OddServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.asked.append((self.path, dict(self.headers), body))
            try:
                status, headers, content = server.answer(self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = _reply

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is none."""

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        server = OddServer(f"http://127.0.0.1:{listening.server_address[1]}")
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield server
        listening.shutdown()
        thread.join()


@dataclass
class Crowd:
    """Many clients that ask at the same time."""

    statuses: list[int | None] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return self.statuses.count(200)


def ask_at_once(
    ask: Callable[[httpx2.Client, int], httpx2.Response], clients: list[httpx2.Client], count: int
) -> Crowd:
    """``count`` questions by as many threads as clients, which are closed; None is a request that got no answer."""
    numbers, lock, crowd = iter(range(count)), threading.Lock(), Crowd()

    def work(client: httpx2.Client) -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                status: int | None = ask(client, number).status_code
            except httpx2.HTTPError:
                status = None
            with lock:
                crowd.statuses.append(status)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, clients))
    for client in clients:
        client.close()
    return crowd


@pytest.fixture
def at_once() -> Callable[..., Crowd]:
    return ask_at_once


@pytest.fixture
def write_policy() -> Callable[..., Path]:
    """Writes a policy's keys into a folder."""
    return write_free_policy


def release_digits(out: Path, attack: str, settings: dict[str, Any]) -> None:
    """The folder of a small audit of the digits, whose model can be served."""
    import memberwise as mw

    records: dict[str, Any] = {"data": "digits", "members": 200, "nonmembers": 200}
    mw.audit(**records, shadow_models=2, attacks=[attack], seed=3, out=out, settings={"model.hidden": [16]} | settings)
