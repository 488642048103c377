"""The gateway, audited over HTTP alone: its tiers, its budget, and its answers by its own policy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from endpoints import codes
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import memberwise as mw
from memberwise.gateway.keys import new_key
from memberwise.gateway.store import Store
from memberwise.store.secret import ensure_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gateway.gateways import Process

# As the gateway's model was trained.
SEEN = 800
DATA = load_digits()
X, Y = (DATA.data / 16).astype(np.float32), DATA.target.astype(np.int64)
ROLES: dict[str, Any] = {
    "data": (X, Y),
    "train_rows": np.arange(SEEN),
    "members": np.arange(200),
    "nonmembers": np.arange(SEEN, SEEN + 200),
    "population": np.arange(SEEN + 200, SEEN + 300),
    "model": LogisticRegression(max_iter=200),
    "shadow_models": 4,
    "attacks": ["loss", "lira-online-shrunk", "base", "rmia-online"],
}

ANSWER = [{"name": "rounding", "digits": 2}]

pytestmark = pytest.mark.slow


def served(start: Callable[..., Process], folder: Path, model: dict[str, Any], **policy: Any) -> Process:
    folder.mkdir()
    ensure_secret(folder)
    given = {"model": model, "server": {"name": "digits"}, **policy}
    free = {"plans": {"default": {"rates": ["100000/second"]} | given.pop("plan", {})}}
    process: Process = start(given | free, folder)
    return process


def key_for(process: Process, name: str = "alice") -> dict[str, str]:
    """The header with a new key, made beside the gateway that runs."""
    store = Store.open(process.store_url)
    token = new_key(store, name, now=time.time())
    store.close()
    return {"Authorization": f"Bearer {token}"}


def audited(process: Process, headers: dict[str, str], folder: Path, protocol: str = "v2", **more: Any) -> mw.Result:
    file = folder / "headers"
    file.write_text("".join(f"{name}: {value}\n" for name, value in headers.items()))
    keys = {"target.headers_file": str(file), "target.model": "digits", "shadow.allow_size_mismatch": True}
    arguments = ROLES | {"out": folder / f"run-{protocol}"} | more
    return mw.audit(endpoint=process.url, protocol=protocol, **{**arguments, "settings": keys})


@pytest.fixture(scope="module")
def beside(digits_onnx: dict[str, Any]) -> mw.Result:
    """The model itself, audited behind the same output defence."""
    settings = {"answer": ANSWER, "shadow.allow_size_mismatch": True}
    return mw.audit(target=digits_onnx["file"], **ROLES, settings=settings)


@pytest.mark.parametrize("protocol", ["v2", "v1", "mlflow"])
def test_the_gateway_audited_equals_the_defended_model(
    protocol: str, start: Any, digits_onnx: dict[str, Any], tmp_path: Path, beside: mw.Result
) -> None:
    process = served(start, tmp_path / "g", digits_onnx, answer=ANSWER)
    key = key_for(process)
    through = audited(process, key, tmp_path, protocol, policy=tmp_path / "g" / "policy.toml")
    assert through.to_dict()["target"]["endpoint"]["answers"] == "scores"
    np.testing.assert_allclose(through.scores["loss"], beside.scores["loss"], rtol=1e-6)
    for name in ("lira-online-shrunk", "base", "rmia-online"):
        np.testing.assert_allclose(through.auc(name).value, beside.auc(name).value, atol=0.005)
    for file in (tmp_path / f"run-{protocol}").rglob("*"):
        assert not file.is_file() or key["Authorization"].split()[1].encode() not in file.read_bytes()


def test_a_ladder_turns_the_audit_to_labels(start: Any, digits_onnx: dict[str, Any], tmp_path: Path) -> None:
    ladder = [{"above": 0.0, "tier": "vector"}, {"above": 0.5, "tier": "label"}]
    process = served(start, tmp_path / "g", digits_onnx, plan={"questions": 700, "ladder": ladder})
    result = audited(process, key_for(process), tmp_path, attacks=["gap", "label-only-noise"])
    facts = result.to_dict()["target"]["endpoint"]
    assert facts["answers"] == "labels"
    assert 0 < facts["labels"] < facts["records"]
    assert "answers are labels alone" in codes(result)["endpoint-coarser"]
    [skipped] = [one for one in result.to_dict()["skipped"] if one["name"] == "label-only-noise"]
    assert "the server grants no more answers" in skipped["reason"]


def test_another_key_continues_where_a_budget_ended(start: Any, digits_onnx: dict[str, Any], tmp_path: Path) -> None:
    process = served(start, tmp_path / "g", digits_onnx, plan={"questions": 300})
    with pytest.raises(mw.MemberwiseError, match="the server grants no more answers") as caught:
        audited(process, key_for(process, "first"), tmp_path, attacks=["loss"])
    assert caught.value.exit_code == 4
    result = audited(process, key_for(process, "second"), tmp_path, attacks=["loss"])
    facts = result.to_dict()["target"]["endpoint"]
    assert facts["from_store"] == 300
    assert facts["questions"] == facts["answered"] == facts["records"] + 8 == 300 + 300 + 8  # none is left for the end
    assert {"endpoint-accuracies", "endpoint-budget", "endpoint-not-asked-again"} <= codes(result).keys()


def test_a_rate_is_waited_for(start: Any, digits_onnx: dict[str, Any], tmp_path: Path) -> None:
    process = served(start, tmp_path / "g", digits_onnx, plan={"rates": ["5/second"]})
    result = audited(process, key_for(process), tmp_path, attacks=["loss"])
    facts = result.to_dict()["target"]["endpoint"]
    assert facts["retries"] > 0
    assert facts["questions"] == facts["answered"]
