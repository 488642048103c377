"""Endpoints and audits that several tests make."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from model_server import Handler, ModelServer, Predict
from numpy.typing import NDArray

from memberwise.data import Dataset, from_object
from memberwise.study.target import TargetConfig
from memberwise.targets.endpoint import Endpoint
from memberwise.targets.sent import Form

CLASSES, WIDTH = 4, 6


def weights() -> NDArray[np.float64]:
    return np.random.default_rng(7).normal(size=(WIDTH, CLASSES)) * 2


def probabilities(x: NDArray[Any]) -> NDArray[np.float64]:
    """A known model, in float64: the same bits whatever it is asked together with."""
    z = (x.astype(np.float64)[:, :, None] * weights()).sum(1)
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def data(n: int = 400) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, WIDTH)).astype(np.float32)
    return x, np.array([rng.choice(CLASSES, p=p) for p in probabilities(x)])


def dataset() -> Dataset:
    return from_object(data(), source="data")


def endpoint(server: ModelServer | None, folder: Path, **keys: Any) -> Endpoint:
    keys = {"model": "clf", "retries": 2} | ({} if server is None else {"endpoint": server.url}) | keys
    return Endpoint(TargetConfig(**keys), Form(dataset()), folder, {})


def serving(predict: Predict = probabilities, **more: Any) -> ModelServer:
    return ModelServer(predict, **more)


def budget_of(server_budget: int) -> Any:
    """A gateway's refusal: a batch that does not fit is refused whole."""
    lock, spent = threading.Lock(), [0]

    def fault(handler: Handler, number: int) -> bool:
        with lock:
            count = len(handler.model.bodies[-1]["inputs"][0]["data"]) // WIDTH
            if spent[0] + count <= server_budget:
                spent[0] += count
                return False
        problem = {"type": "about:blank", "title": "Budget spent", "status": 429, "detail": "client"}
        handler.reply(429, problem, kind="problem+json")
        return True

    return fault


PLAN = {"plan.stack": 4, "plan.threads": 1, "training.epochs": 2, "model.hidden": [8], "target.model": "clf"}


def audited(x: Any, y: Any, **more: Any) -> dict[str, Any]:
    """Arguments of an audit of 100 members and 100 non-members, with few shadow models."""
    settings = PLAN | {"shadow.allow_size_mismatch": True} | more.pop("settings", {})
    return {
        "data": (x, y),
        "train_rows": np.arange(100),
        "members": np.arange(100),
        "nonmembers": np.arange(100, 200),
        "shadow_models": 4,
        "attacks": ["loss", "lira-online-fixed"],
        "settings": settings,
        **more,
    }


def codes(result: Any) -> dict[str, str]:
    return {warning["code"]: warning["message"] for warning in result.to_dict()["warnings"]}
