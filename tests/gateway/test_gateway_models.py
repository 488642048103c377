"""``memberwise serve`` as a process: every kind of model answers as it does without a gateway."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tests.gateway.gateways import release_digits

import memberwise as mw
from memberwise.errors import RunFolderError
from memberwise.gateway.loading import load_behind
from memberwise.gateway.policy import parse_policy

if TYPE_CHECKING:
    from tests.gateway.gateways import Process

pytestmark = pytest.mark.slow
DEFENCES = [{"name": "logit-clipping", "r": 3.0}, {"name": "rounding", "digits": 3}]
NAMED = {"server": {"name": "digits"}}


def model_policy(model: Path, **more: Any) -> dict[str, Any]:
    return {"model": {"file": str(model)}, **NAMED, **more}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, with the policy by which its model was audited."""
    out = tmp_path_factory.mktemp("run") / "digits"
    release_digits(out, "loss", {"training.epochs": 4, "answer": DEFENCES})
    return out


def test_a_released_model_is_served_as_it_was_released(released: Path, start: Callable[..., Process]) -> None:
    # The exported policy, with nothing added.
    gateway = start(folder=released)
    x = load_digits().images[:20]
    expected = mw.load_target(released).predict(x)
    with gateway.client(gateway.key()) as client:
        flat = x.reshape(20, 64).tolist()
        answers = [
            client.post("/v1/models/model:predict", json={"instances": x.tolist()}).json()["predictions"],
            client.post("/v1/models/model:predict", json={"instances": flat}).json()["predictions"],
            client.post("/invocations", json={"inputs": x.tolist()}).json()["predictions"],
        ]
        tensor = {"name": "x", "shape": [20, 8, 8], "datatype": "FP32", "data": x.ravel().tolist()}
        output = client.post("/v2/models/model/infer", json={"inputs": [tensor]}).json()["outputs"][0]
        answers.append(np.reshape(output["data"], output["shape"]).tolist())
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)
    assert gateway.spent() == (20, {"alice": 20})


def test_a_released_model_keeps_its_defences(released: Path, tmp_path: Path) -> None:
    for answer, fits in ((DEFENCES, True), (DEFENCES[::-1], False), ([], False), (None, True)):
        values: dict[str, Any] = {"model": {"file": str(released)}} | ({} if answer is None else {"answer": answer})
        if fits:
            behind = load_behind(parse_policy(values, "the test"), tmp_path, b"s" * 32)
            assert behind.kind == "scores"
            asyncio.run(behind.close())
        else:
            with pytest.raises(RunFolderError, match="output defences"):
                load_behind(parse_policy(values, "the test"), tmp_path, b"s" * 32)


def test_shades_are_asked_as_bytes_or_scaled(tmp_path: Path, start: Callable[..., Process]) -> None:
    out = tmp_path / "run"
    x = (load_digits().images * 15).astype(np.uint8)
    mw.audit(
        data=(x, load_digits().target),
        members=200,
        nonmembers=200,
        shadow_models=2,
        attacks=["loss"],
        out=out,
        settings={"training.epochs": 2, "model.hidden": [8]},
    )
    expected = mw.load_target(out).predict(x[:4])
    gateway = start({"model": {"file": str(out)}})
    with gateway.client(gateway.key()) as client:
        told = client.get("/v2/models/model").json()
        assert told["inputs"][0]["datatype"] == "UINT8"
        scaled = x[:4].astype(np.float32) / np.float32(255)
        for datatype, given in (("UINT8", x[:4]), ("INT64", x[:4]), ("FP32", scaled)):
            tensor = {"name": "x", "shape": [4, 8, 8], "datatype": datatype, "data": given.ravel().tolist()}
            output = client.post("/v2/models/model/infer", json={"inputs": [tensor]}).json()["outputs"][0]
            np.testing.assert_array_equal(np.reshape(output["data"], (4, 10)), expected)
        for given in (x[:4], scaled):
            answer = client.post("/v1/models/model:predict", json={"instances": given.tolist()})
            np.testing.assert_array_equal(answer.json()["predictions"], expected)
        too_light = client.post("/v1/models/model:predict", json={"instances": [[[256] * 8] * 8]})
        assert too_light.status_code == 400
    assert gateway.spent()[0] == 4


def test_rows_of_a_table_are_encoded_as_in_the_audit(tmp_path: Path, start: Callable[..., Process]) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 90, 300), "job": rng.choice(["nurse", "smith", "clerk"], 300)})
    frame["ill"] = np.where(frame["age"] > 50, "yes", "no")
    mw.audit(
        data=frame,
        label="ill",
        members=100,
        nonmembers=100,
        shadow_models=2,
        attacks=["loss"],
        out=tmp_path / "run",
        settings={"training.epochs": 2, "model.hidden": [8], "answer": DEFENCES},
    )
    expected = mw.load_target(tmp_path / "run").predict(frame[:6])
    gateway = start(folder=tmp_path / "run")
    rows = frame[["job", "age"]][:6]
    split = {"columns": list(rows), "data": rows.to_numpy(object).tolist()}
    records = rows.to_dict("records")
    with gateway.client(gateway.key()) as client:
        for path, body in (
            ("/invocations", {"dataframe_split": split}),
            ("/invocations", {"dataframe_records": records}),
            ("/v1/models/model:predict", {"instances": records}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            np.testing.assert_array_equal(answer.json()["predictions"], expected)
        for wrong in (
            [{"age": 40}],
            [{"age": "old", "job": "nurse"}],
            [{"age": [1], "job": "nurse"}],
            [{"age": 40, "job": {"a": 1}}],
        ):
            assert 400 <= client.post("/invocations", json={"dataframe_records": wrong}).status_code < 500, wrong
    assert gateway.spent()[0] == 6


def test_onnx_is_served_without_torch(
    tmp_path: Path, digits_model: Path, digits: np.ndarray, start: Callable[..., Process]
) -> None:
    import skl2onnx  # type: ignore[import-untyped]
    import skops.io
    from skl2onnx.common.data_types import FloatTensorType  # type: ignore[import-untyped]

    model = skops.io.load(digits_model)
    onnx = skl2onnx.to_onnx(model, initial_types=[("x", FloatTensorType([None, 64]))])
    (tmp_path / "digits.onnx").write_bytes(onnx.SerializeToString())
    given = {"file": str(tmp_path / "digits.onnx"), "classes": [str(i) for i in range(10)], "shape": [64]}
    gateway = start({"model": given, "answer": [{"name": "rounding", "digits": 3}], **NAMED})
    with gateway.client(gateway.key()) as client:
        answer = gateway.predict(client, digits[:9]).json()["predictions"]
    np.testing.assert_allclose(answer, np.round(model.predict_proba(digits[:9]), 3), atol=0.0011)
    assert "libtorch" not in Path(f"/proc/{gateway.process.pid}/maps").read_text()


@pytest.mark.parametrize("module", ["app", "server", "local", "upstream"])
def test_importing_the_gateway_does_not_load_torch(module: str) -> None:
    code = f"import sys, memberwise.gateway.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_gateway_stands_behind_a_gateway(
    digits_model: Path, digits: np.ndarray, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = start(model_policy(digits_model))
    token = inner.key("outer")["Authorization"].removeprefix("Bearer ")
    with inner.client({"Authorization": f"Bearer {token}"}) as client:
        expected = np.round(inner.predict(client, digits[:5]).json()["predictions"], 2)
    for protocol in ("v2", "v1", "mlflow"):
        upstream: dict[str, Any] = {
            "url": inner.url,
            "protocol": protocol,
            "model": "digits",
            "token_env": "INNER_TOKEN",
        }
        upstream |= {"classes": [str(i) for i in range(10)], "shape": [64]}
        policy = {"upstream": upstream, "answer": [{"name": "rounding", "digits": 2}], **NAMED}
        outer = start(policy, env={"INNER_TOKEN": token})
        with outer.client(outer.key()) as client:
            assert client.get("/health/ready").status_code == 200
            answer = inner.predict(client, digits[:5])
            assert answer.status_code == 200, answer.text
            np.testing.assert_allclose(answer.json()["predictions"], expected, atol=1e-12)
            assert answer.headers.get_list("memberwise-tier") == ["vector"]
        assert token not in outer.log.read_text()
    assert inner.spent() == (5, {"outer": 5})
