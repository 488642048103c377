"""Addresses of the gateway, and what answers at each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from memberwise.errors import StoreError
from memberwise.gateway.behind import BehindError
from memberwise.gateway.body import read_body
from memberwise.gateway.logs import LOGGER
from memberwise.gateway.openapi import document
from memberwise.gateway.problems import Problem
from memberwise.gateway.protocols.base import ServedProtocol
from memberwise.gateway.protocols.mlflow import MLflow
from memberwise.gateway.protocols.v1 import V1
from memberwise.gateway.protocols.v2 import V2, metadata
from memberwise.gateway.serving import Serving, budget_headers
from memberwise.types.version import __version__

if TYPE_CHECKING:
    from memberwise.gateway.app import Gateway

JSON = "application/json"
ALIVE = {"live": True}


class Questions:
    """Where questions about the model arrive in one protocol (a plain ASGI application: this is the hot path)."""

    def __init__(self, gateway: Gateway, protocol: ServedProtocol) -> None:
        self.gateway, self.protocol = gateway, protocol
        self.seconds = gateway.metrics.seconds.labels(protocol.name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        metrics, serving = self.gateway.metrics, self.gateway.enter()
        metrics.running.inc()
        said: dict[str, object] = {"protocol": self.protocol.name}
        try:
            try:
                response = await self._answer(serving, scope, receive, said)
            except BehindError as error:
                metrics.failures.labels(error.kind).inc()
                LOGGER.warning("no usable answer", extra={"values": {"reason": error.problem}})
                raise Problem(error.kind) from None
        except Problem as problem:
            metrics.refusals.labels(problem.kind, problem.reason or "").inc()
            said["problem"], response = problem.kind, problem.response()
        except Exception as error:
            LOGGER.error("a request failed", exc_info=error)
            said["problem"], response = "internal", Problem("internal").response()
        finally:
            metrics.running.dec()
            self.gateway.leave(serving)
        await response(scope, receive, send)
        seconds = time.perf_counter() - started
        metrics.requests.labels(self.protocol.name, response.status_code).inc()
        self.seconds.observe(seconds)
        LOGGER.info(
            "question", extra={"values": {**said, "status": response.status_code, "seconds": round(seconds, 6)}}
        )

    async def _answer(self, serving: Serving, scope: Scope, receive: Receive, said: dict[str, object]) -> Response:
        server, loop = serving.policy.server, asyncio.get_running_loop()
        deadline = loop.time() + server.timeout
        headers, address = headers_of(scope), (scope.get("client") or ("", 0))[0]
        client = await serving.access.client(headers, address)
        said["client"] = client.name
        _check_model(scope, server.name)
        await serving.rates.take(client.counted_as, client.plan)
        body = await read_body(receive, headers.get("content-length"), server.max_bytes, deadline - loop.time())
        query = self.protocol.parse(body, headers, serving.limits)
        said["records"] = len(query.records)
        answered = await serving.ask(client, query, deadline)
        said["tier"] = answered.outcome.tier
        self.gateway.metrics.answers.labels(answered.outcome.tier).inc(len(query.records))
        reply = self.protocol.reply(answered.outcome, query, server.name)
        return Response(
            reply.body,
            headers={
                "Cache-Control": "no-store",
                "Memberwise-Tier": answered.outcome.tier,
                **budget_headers(client, answered.remaining),
                **reply.headers,
            },
        )


def routes(gateway: Gateway) -> list[BaseRoute]:
    """All addresses."""

    def get(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        return Route(path, _refusing(endpoint), methods=["GET"])

    def ask(path: str, protocol: ServedProtocol) -> Route:
        return Route(path, Questions(gateway, protocol), methods=["POST"])

    async def live(_: Request) -> Response:
        return _json(ALIVE)

    async def ready(_: Request) -> Response:
        return await _ready(gateway, {"ready": True})

    async def empty_if_ready(_: Request) -> Response:
        response = await _ready(gateway, {})
        return response if response.status_code != 200 else _json({})

    async def model_ready(request: Request) -> Response:
        if request.path_params["model"].endswith(":predict"):  # another address of the same form
            raise Problem("method-not-allowed", headers={"Allow": "POST"})
        _check_model(request.scope, gateway.serving.policy.server.name)
        return await _ready(gateway, {"name": gateway.serving.policy.server.name, "ready": True})

    async def server_metadata(_: Request) -> Response:
        return _json({"name": "memberwise", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def model_metadata(request: Request) -> Response:
        async with gateway.request() as serving:
            await _client(serving, request)
            _check_model(request.scope, serving.policy.server.name)
            behind = serving.behind
            output = {"labels": "label", "scores": "scores"}.get(behind.kind, "probabilities")
            name = serving.policy.server.name
            return _json(metadata(name, behind.classes, behind.shape, behind.datatype, output))

    async def version(_: Request) -> Response:
        return _plain(__version__.encode(), "text/plain; charset=utf-8")

    async def metrics(request: Request) -> Response:
        async with gateway.request() as serving:
            await serving.access.admin(headers_of(request.scope))
        gateway.metrics.clients_with_alarms(await gateway.watching.alarms())
        return _plain(gateway.metrics.text(), gateway.metrics.content_type)

    async def openapi(_: Request) -> Response:
        serving = gateway.serving
        return _json(document(serving.policy, serving.behind))

    return [
        ask("/v2/models/{model}/infer", V2()),
        ask("/v1/models/{model}:predict", V1()),
        ask("/invocations", MLflow()),
        get("/health/live", live),
        get("/health/ready", ready),
        get("/v2", server_metadata),
        get("/v2/health/live", live),
        get("/v2/health/ready", ready),
        get("/v2/models/{model}", model_metadata),
        get("/v2/models/{model}/ready", model_ready),
        get("/v1/models/{model}", model_ready),
        get("/ping", empty_if_ready),
        get("/health", empty_if_ready),
        get("/version", version),
        get("/metrics", metrics),
        get("/openapi.json", openapi),
    ]


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name.

    Raises:
        Problem: one that decides something stands twice.
    """
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1")
        if key in headers and key in ("authorization", "content-type", "inference-header-content-length"):
            raise Problem("invalid-request", "A header stands twice.")
        headers[key] = value.decode("latin-1")
    return headers


async def refused_by_router(_: Request, error: Exception) -> Response:
    """The answer where no address or method fits."""
    headers = dict(getattr(error, "headers", None) or {})
    kind = {404: "not-found", 405: "method-not-allowed"}.get(getattr(error, "status_code", 404), "not-found")
    return Problem(kind, headers=headers).response()


async def failed(_: Request, error: Exception) -> Response:
    """The answer where something failed that should not."""
    LOGGER.error("a request failed", exc_info=error)
    return Problem("internal").response()


def _refusing(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Problem as problem:
            return problem.response()

    return answer


async def _client(serving: Serving, request: Request) -> None:
    address = request.client.host if request.client else ""
    client = await serving.access.client(headers_of(request.scope), address)
    await serving.rates.take(client.counted_as, client.plan)


async def _ready(gateway: Gateway, values: dict[str, object]) -> Response:
    """Whether questions would be answered: the store can be read, and what is behind answers."""
    async with gateway.request() as serving:
        try:
            await gateway.reader.read("")
            behind = await serving.behind.ready()
        except StoreError:
            behind = False
        return _json(values) if behind else Problem("unavailable", "Not ready.").response()


def _check_model(scope: Scope, name: str) -> None:
    model_name = scope.get("path_params", {}).get("model")
    if model_name is not None and model_name != name:
        raise Problem("not-found", "There is no model of this name.")


def _json(values: object) -> Response:
    return _plain(json.dumps(values).encode(), JSON)


def _plain(body: bytes, kind: str) -> Response:
    return Response(body, headers={"Cache-Control": "no-store", "Content-Type": kind})
