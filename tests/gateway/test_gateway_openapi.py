"""The OpenAPI document against the gateway as it runs: schemathesis finds no 5xx and no undocumented status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import skl2onnx  # type: ignore[import-untyped]
from hypothesis import settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

if TYPE_CHECKING:
    from tests.gateway.gateways import Process, Served


# That v2's shape and data belong together is nothing that a schema can say.
BELONG = """
[[operations]]
include-path-regex = "infer$"
checks.positive_data_acceptance.enabled = false
"""


def schemathesis(gateway: Process, headers: dict[str, str], *more: str) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{gateway.url}/openapi.json"]
    command += ["--seed", "1", "--header", f"Authorization: {headers['Authorization']}", *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=gateway.folder, timeout=400)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path, start: Callable[..., Process]) -> None:
    # A tree answers whatever it is asked, numbers near the largest float32 too.
    tree = DecisionTreeClassifier(max_depth=5).fit(*load_iris(return_X_y=True))
    onnx = skl2onnx.to_onnx(tree, initial_types=[("x", FloatTensorType([None, 4]))])
    (tmp_path / "iris.onnx").write_bytes(onnx.SerializeToString())
    model = {"file": str(tmp_path / "iris.onnx"), "classes": ["0", "1", "2"], "shape": [4]}
    gateway = start({"model": model, "server": {"max_records": 3}})
    headers = gateway.key()
    (gateway.folder / "schemathesis.toml").write_text(BELONG)
    schemathesis(gateway, headers, "--max-examples", str(settings().max_examples // 4))
    assert not [line for line in gateway.logs() if line["level"] == "error"]
    statuses = {line["status"] for line in gateway.logs() if line["event"] == "question"}
    assert {200, 400} <= statuses
    assert not [status for status in statuses if status >= 500]


def test_the_document_says_what_is_true(make_served: Callable[..., Served], digits: Any) -> None:
    served = make_served()
    document = served.client.get("/openapi.json").json()
    schemes = document["paths"]["/v1/models/digits:predict"]["post"]
    asks = schemes["requestBody"]["content"]["application/json"]["schema"]
    answers = schemes["responses"]["200"]["content"]["application/json"]["schema"]
    assert Draft202012Validator(asks).is_valid({"instances": digits[:2].tolist()})
    assert not Draft202012Validator(asks).is_valid({"instances": digits[:2, :5].tolist()})
    answer = served.ask(digits[:2], served.key()).json()
    assert Draft202012Validator(answers).is_valid(answer)
    assert document["paths"]["/v1/models/digits:predict"]["post"]["security"] == [{"key": []}]
    open_to_all = make_served({"access": {"anonymous": True}}).client.get("/openapi.json").json()
    assert {} in open_to_all["paths"]["/invocations"]["post"]["security"]
