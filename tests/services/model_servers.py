"""MLServer and MLflow's model server, each in its environment, with a classifier of digits trained there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from .processes import ROOT, answers, free_port, running

HERE = Path(__file__).parent
MODEL = "digits"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class ModelServer:
    """A model that is served.

    url: without a path. model: its name. python: the interpreter of the environment, for its clients. records: test
    records (100, 64) in float32. probabilities: (100, 10), by the model itself, without a server.
    """

    url: str
    model: str
    python: Path
    records: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float64]


def _python(name: str) -> Path:
    path = ROOT / f".venv-{name}" / "bin" / "python"
    if not path.is_file():
        pytest.skip(f"needs {name} in an environment of its own: make services")
    return path


def _train(python: Path, kind: str, folder: Path) -> None:
    """Trained by the environment that serves it: a joblib file of another scikit-learn may not load."""
    done = subprocess.run(
        [python, HERE / "train_digits.py", kind, folder], env={**QUIET, "PATH": "/usr/bin:/bin"}, capture_output=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-2000:])


def _served(url: str, python: Path, folder: Path) -> ModelServer:
    return ModelServer(url, MODEL, python, np.load(folder / "records.npy"), np.load(folder / "probabilities.npy"))


@pytest.fixture(scope="session")
def mlserver_python() -> Path:
    """The interpreter with MLServer and Triton's client."""
    return _python("mlserver")


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    """The interpreter with MLflow and its client."""
    return _python("mlflow")


@pytest.fixture(scope="session")
def mlserver(mlserver_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """MLServer (Open Inference v2) with a scikit-learn model; ``predict_proba`` has to be asked for."""
    folder = tmp_path_factory.mktemp("mlserver")
    _train(mlserver_python, "joblib", folder)
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    settings = {
        "name": MODEL,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "v1"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{ports['http_port']}"
    command: list[str | Path] = [mlserver_python.parent / "mlserver", "start", folder]
    with running(command, folder, lambda: answers(f"{url}/v2/models/{MODEL}/ready"), seconds=180, env=QUIET):
        yield _served(url, mlserver_python, folder)


@pytest.fixture(scope="session")
def mlflow_server(mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """MLflow's model server (``/invocations``) with a scikit-learn model that answers with probabilities."""
    folder = tmp_path_factory.mktemp("mlflow")
    _train(mlflow_python, "mlflow", folder)
    port = free_port()
    command: list[str | Path] = [
        mlflow_python,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        folder / "model",
        "--env-manager",
        "local",
    ]
    command += ["-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    url = f"http://127.0.0.1:{port}"
    # The server starts uvicorn by its bare name.
    env = {**QUIET, "PATH": f"{mlflow_python.parent}:/usr/bin:/bin"}
    with running(command, folder, lambda: answers(f"{url}/ping"), seconds=180, env=env):
        yield _served(url, mlflow_python, folder)
