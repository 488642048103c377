"""A model server of ten classes that speaks v2, and a bare proxy before one: what the gateway is measured beside.

``uvicorn upstream:model`` and ``UPSTREAM=http://127.0.0.1:PORT uvicorn upstream:proxy``.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FEATURES, CLASSES = 30, 10
WEIGHTS = np.random.default_rng(0).normal(size=(FEATURES, CLASSES))


async def infer(request: Request) -> Response:
    """Softmax of a linear model: next to no time goes into the answer."""
    body = json.loads(await request.body())
    tensor = body["inputs"][0]
    logits = np.asarray(tensor["data"], np.float64).reshape(tensor["shape"]) @ WEIGHTS
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    output = {"name": "probabilities", "shape": list(shares.shape), "datatype": "FP64", "data": shares.ravel().tolist()}
    return Response(json.dumps({"model_name": "model", "outputs": [output]}), media_type="application/json")


async def ready(request: Request) -> Response:
    """It is there."""
    return Response("{}", media_type="application/json")


async def metadata(request: Request) -> Response:
    """Names and types of the tensors."""
    facts = {
        "name": "model",
        "platform": "",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, FEATURES]}],
        "outputs": [{"name": "probabilities", "datatype": "FP64", "shape": [-1, CLASSES]}],
    }
    return Response(json.dumps(facts), media_type="application/json")


model = Starlette(
    routes=[
        Route("/v2/health/ready", ready),
        Route("/v2/models/model", metadata),
        Route("/v2/models/model/infer", infer, methods=["POST"]),
    ]
)


@asynccontextmanager
async def _client(app: Starlette) -> AsyncIterator[None]:
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx2.AsyncClient(base_url=os.environ["UPSTREAM"], limits=limits) as client:
        app.state.client = client
        yield


async def forward(request: Request) -> Response:
    """The body on, the answer back."""
    reply = await request.app.state.client.post(
        request.url.path, content=await request.body(), headers={"content-type": "application/json"}
    )
    return Response(reply.content, reply.status_code, media_type="application/json")


proxy = Starlette(
    lifespan=_client,
    routes=[Route("/v2/health/ready", ready), Route("/v2/models/model/infer", forward, methods=["POST"])],
)
