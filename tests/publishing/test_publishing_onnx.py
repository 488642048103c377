"""A released network as an ONNX file answers raw records as ``load_target`` does, or is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch import nn
from typer.testing import CliRunner

import memberwise as mw
from memberwise.cli.main import app
from memberwise.errors import TargetError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("publishing-onnx")]
FEW: dict[str, Any] = {"members": 100, "nonmembers": 100, "shadow_models": 2, "attacks": ["gap"], "seed": 2}
FAST = {"training.epochs": 3, "model.hidden": [8]}
POLICIES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "rounding": [{"name": "rounding", "digits": 1}],
    "top-k": [{"name": "top-k", "k": 2}],
    "label-only": [{"name": "label-only"}],
    "chain": [{"name": "temperature", "t": 2.0}, {"name": "top-k", "k": 2}],
}


def table(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    jobs = np.array(["nurse", "smith", "Zoë", None], object)
    frame = pd.DataFrame(
        {"ward": rng.integers(1, 4, n).astype(str), "age": rng.integers(18, 90, n), "smokes": rng.random(n) < 0.4}
    )
    frame["job"] = jobs[rng.integers(0, 4, n)]
    frame["income"] = rng.lognormal(10, 1, n)
    score = (frame["age"] > 50).astype(int) + rng.integers(0, 2, n)
    return frame.assign(diagnosis=np.array(["none", "mild", "severe"])[score])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx")
    for name, answer in POLICIES.items():
        settings = FAST | {"answer": answer}
        mw.audit(data=table(), label="diagnosis", settings=settings, out=folder / name, **FEW)
    return folder


def answers(file: Path, feed: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == set(feed)
    return session.run(["answers"], feed)[0]


@pytest.mark.parametrize("policy", POLICIES)
def test_table_answers_as_its_released_model(policy: str, runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    done = CliRunner().invoke(app, ["export", str(runs / policy), "--to", "onnx", "--out", str(file)])
    assert done.exit_code == 0, done.output
    rows = table().drop(columns="diagnosis")
    rows.loc[:3, "job"] = "somebody else"
    feed = {str(name): rows[[name]].to_numpy() for name in rows}
    feed["age"], feed["job"] = feed["age"].astype(float), rows[["job"]].fillna("").to_numpy()
    wanted = mw.load_target(runs / policy).predict(rows)
    found = answers(file, feed)
    assert found.shape == wanted.shape
    assert np.isclose(found, wanted, atol=1e-5).reshape(300, -1).all(1).mean() > 0.99
    assert (found == 0).any() == (policy in ("top-k", "chain", "label-only") or bool((wanted == 0).any()))


def test_images_in_shades_are_divided_inside(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (300, 3, 8, 8)).astype(np.uint8), rng.integers(0, 2, 300)
    settings = {"training.epochs": 1, "model.name": "cnn"}
    mw.audit(data=(x, y), settings=settings, out=tmp_path / "run", **FEW)
    released = mw.load_target(tmp_path / "run")
    from memberwise.publishing.onnx import export_onnx

    export_onnx(released, tmp_path / "model.onnx", np.moveaxis(x[:50], 1, -1))  # channels last go in, too
    np.testing.assert_allclose(answers(tmp_path / "model.onnx", {"records": x}), released.predict(x), atol=1e-5)


def make_reader() -> nn.Module:
    return nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(12, 1))


def test_token_ids_and_one_logit_go_in_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ids, y = rng.integers(0, 50, (300, 3)), rng.integers(0, 2, 300)
    mw.audit(model=make_reader, data=(ids, y), settings={"training.epochs": 1}, out=tmp_path / "run", **FEW)
    from memberwise.publishing.onnx import export_onnx

    released = mw.load_target(tmp_path / "run", model=make_reader)
    export_onnx(released, tmp_path / "model.onnx", ids)
    np.testing.assert_allclose(answers(tmp_path / "model.onnx", {"records": ids}), released.predict(ids), atol=1e-6)


def test_what_is_no_function_of_the_answer_is_refused(runs: Path, tmp_path: Path) -> None:
    settings = FAST | {"answer": [{"name": "confidence-noise", "r": 1.0}]}
    mw.audit(data=table(), label="diagnosis", settings=settings, out=tmp_path / "run", **FEW)
    command = ["export", str(tmp_path / "run"), "--to", "onnx", "--out", str(tmp_path / "model.onnx")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "--undefended" in done.output
    assert not (tmp_path / "model.onnx").exists()
    assert CliRunner().invoke(app, [*command, "--undefended"]).exit_code == 0


def test_a_file_that_answers_otherwise_is_not_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memberwise.publishing import onnx as exporting

    released = mw.load_target(runs / "none")
    real = exporting._network
    other = mw.load_target(runs / "rounding")
    monkeypatch.setattr(exporting, "_network", lambda models, how: real(shaken(other), how))
    with pytest.raises(TargetError, match="does not answer as the released model"):
        exporting.export_onnx(released, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def shaken(released: Any) -> Any:
    """The model with other weights."""
    import copy

    import torch

    models = copy.copy(released.undefended)
    module = models.network.made(0)
    with torch.no_grad():
        next(iter(module.parameters())).add_(1)
    models.network = models.network.around(module)
    return models
