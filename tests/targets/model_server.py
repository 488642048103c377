"""A real HTTP server in a thread, of a known function of records, in all protocols, with faults on request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

Predict = Callable[[NDArray[Any]], NDArray[Any]]
# What a fault does with a request: sends a reply and returns True, or returns False and lets it be answered.
Fault = Callable[["Handler", int], bool]


@dataclass
class ModelServer:
    """``predict``: ``(n, ...)`` float32 records to answers. Everything it is asked is counted.

    Attributes:
        fault: looked at for every question, with its number. metadata: of the v2 model. headers: that it wants.
        seen: how often each record was answered. received: records in all requests, answered or not.
    """

    predict: Predict
    fault: Fault | None = None
    metadata: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    output: str = "scores"
    dtype: Any = np.float32
    seen: Counter[bytes] = field(default_factory=Counter)
    received: int = 0
    requests: int = 0
    delay: float = 0.0
    most_at_once: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> ModelServer:
        outer = self

        class Bound(Handler):
            model = outer

        self.lock, self.at_once = threading.Lock(), 0
        self.open: set[socket.socket] = set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        with self.lock:
            for connection in self.open:  # kept alive, they would go on answering
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


class Handler(BaseHTTPRequestHandler):
    model: ModelServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.model.lock:
            self.model.open.add(self.connection)

    def finish(self) -> None:
        with self.model.lock:
            self.model.open.discard(self.connection)
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        if self.path.startswith("/v2/models/clf") and self.model.metadata is not None:
            self.reply(200, self.model.metadata)
        else:
            self.reply(404, {"error": "no such thing"})

    def do_POST(self) -> None:
        server = self.model
        document = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if any(self.headers.get(name) != value for name, value in server.headers.items()):
            self.reply(401, {"error": f"not {self.headers.get('Authorization')}"})
            return
        if self.path == "/v2/repository/index":
            self.reply(200, [{"name": "clf"}])
            return
        with server.lock:
            server.bodies.append(document)
            server.requests += 1
            number = server.requests
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self.answer(document, number)
        finally:
            with server.lock:
                server.at_once -= 1

    def answer(self, document: dict[str, Any], number: int) -> None:
        server = self.model
        if server.delay:
            time.sleep(server.delay)
        kind, x = self.records(document)
        with server.lock:
            server.received += len(x)
        if server.fault is not None and server.fault(self, number):
            return
        answers = server.predict(x)
        with server.lock:
            server.seen.update(row.tobytes() for row in x)
        values = answers.tolist()
        if kind == "v2":
            whole = answers.dtype.kind in "iU"
            datatype = ("BYTES" if answers.dtype.kind == "U" else "INT64") if whole else "FP64"
            flat = np.ravel(answers).tolist()
            tensor = {"name": server.output, "shape": list(answers.shape), "datatype": datatype, "data": flat}
            self.reply(200, {"model_name": "clf", "outputs": [tensor]})
        else:
            self.reply(200, {"predictions": values})

    def records(self, document: dict[str, Any]) -> tuple[str, NDArray[Any]]:
        if self.path.startswith("/v2/"):
            tensor = document["inputs"][0]
            return "v2", np.array(tensor["data"], self.model.dtype).reshape(tensor["shape"])
        if self.path.endswith(":predict"):
            return "v1", np.array(document["instances"], self.model.dtype)
        return "mlflow", np.array(document["inputs"], self.model.dtype)

    def reply(self, code: int, document: object, headers: dict[str, str] | None = None, kind: str = "json") -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
