"""The gateway between other people's servers and clients: MLServer, MLflow's model server; Triton's and MLflow's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.gateway.gateways import Process
    from tests.services.model_servers import ModelServer

pytestmark = pytest.mark.slow
CLASSES = [str(number) for number in range(10)]

TRITON = """
import json, sys
import numpy as np
import tritonclient.http as triton

address, token, file = sys.argv[1:]
headers = {"Authorization": "Bearer " + token}
x = np.load(file)
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("digits")
told = client.get_model_metadata("digits", headers=headers)
found = []
for as_bytes in (True, False):
    given = triton.InferInput(told["inputs"][0]["name"], list(x.shape), "FP32")
    given.set_data_from_numpy(x, binary_data=as_bytes)
    name = told["outputs"][0]["name"]
    for outputs in (None, [triton.InferRequestedOutput(name, binary_data=as_bytes)]):
        found.append(client.infer("digits", [given], outputs=outputs, headers=dict(headers)).as_numpy(name).tolist())
try:
    client.infer("digits", [given], headers={})  # nobody's
except triton.InferenceServerException as error:
    refused = str(error)
print(json.dumps({"found": found, "refused": refused}))
"""
MLFLOW = """
import json, sys
import numpy as np, pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

port, file = sys.argv[1:]
client = ScoringServerClient("127.0.0.1", int(port))
client.ping(), client.wait_server_ready(timeout=10)
x = np.load(file)
frame = client.invoke(pd.DataFrame(x)).get_predictions()
print(json.dumps(np.asarray(frame).tolist()))
"""


def said(python: Path, code: str, *arguments: object) -> Any:
    done = subprocess.run([python, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def rounded(server: ModelServer, protocol: str, **more: Any) -> dict[str, Any]:
    """A policy before this server, whose probabilities it rounds."""
    upstream = {"url": server.url, "protocol": protocol, "model": server.model, "classes": CLASSES, "shape": [64]}
    return {"upstream": upstream | more, "answer": [{"name": "rounding", "digits": 3}], "server": {"name": "digits"}}


def check(gateway: Process, headers: dict[str, str], server: ModelServer) -> None:
    with gateway.client(headers) as client:
        assert client.get("/health/ready").status_code == 200
        answer = client.post("/v1/models/digits:predict", json={"instances": server.records[:20].tolist()})
        assert answer.status_code == 200, answer.text
        np.testing.assert_allclose(answer.json()["predictions"], server.probabilities[:20], atol=0.00051)
        wrong = client.post("/v1/models/digits:predict", json={"instances": server.records[:1, :5].tolist()})
        assert wrong.status_code == 400


def test_mlserver_stands_behind_the_gateway(mlserver: ModelServer, start: Callable[..., Process]) -> None:
    gateway = start(rounded(mlserver, "v2", output="predict_proba", input="predict"))
    check(gateway, gateway.key(), mlserver)


def test_mlflow_stands_behind_the_gateway(mlflow_server: ModelServer, start: Callable[..., Process]) -> None:
    gateway = start(rounded(mlflow_server, "mlflow"))
    check(gateway, gateway.key(), mlflow_server)


def test_triton_client_asks_by_its_defaults(
    mlserver_python: Path,
    digits_model: Path,
    digits: np.ndarray,
    tmp_path: Path,
    start: Callable[..., Process],
) -> None:
    gateway = start({"model": {"file": str(digits_model)}, "server": {"name": "digits"}})
    headers = gateway.key()
    np.save(tmp_path / "x.npy", digits[:5])
    token = headers["Authorization"].removeprefix("Bearer ")
    told = said(mlserver_python, TRITON, gateway.url.removeprefix("http://"), token, tmp_path / "x.npy")
    with gateway.client(headers) as client:
        answer = client.post("/v1/models/digits:predict", json={"instances": digits[:5].tolist()})
    for found in told["found"]:
        np.testing.assert_array_equal(found, answer.json()["predictions"])
    assert len(told["found"]) == 4
    assert "key or token" in told["refused"]


def test_mlflow_client_asks_by_its_defaults(
    mlflow_python: Path, digits_model: Path, digits: np.ndarray, tmp_path: Path, start: Callable[..., Process]
) -> None:
    policy = {"model": {"file": str(digits_model)}, "server": {"name": "digits"}, "access": {"anonymous": True}}
    gateway = start(policy)
    np.save(tmp_path / "x.npy", digits[:5])
    found = said(mlflow_python, MLFLOW, gateway.url.rpartition(":")[2], tmp_path / "x.npy")
    with gateway.client() as client:
        answer = client.post("/invocations", json={"inputs": digits[:5].tolist()})
    np.testing.assert_allclose(found, answer.json()["predictions"], atol=1e-9)
