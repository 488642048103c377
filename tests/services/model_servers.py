"""MLServer and MLflow's model server, each in its environment, with a classifier of digits trained there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from memberwise.reproduce import servers

from .processes import ROOT

HERE = Path(__file__).parent


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
        [python, HERE / "train_digits.py", kind, folder],
        env={**servers.QUIET, "PATH": "/usr/bin:/bin"},
        capture_output=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-2000:])


def _served(url: str, python: Path, folder: Path) -> ModelServer:
    return ModelServer(
        url, servers.MODEL, python, np.load(folder / "records.npy"), np.load(folder / "probabilities.npy")
    )


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
    with servers.mlserver(mlserver_python, folder) as started:
        yield _served(str(started.keys["target.endpoint"]), mlserver_python, folder)


@pytest.fixture(scope="session")
def mlflow_server(mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """MLflow's model server (``/invocations``) with a scikit-learn model that answers with probabilities."""
    folder = tmp_path_factory.mktemp("mlflow")
    _train(mlflow_python, "mlflow", folder)
    with servers.mlflow(mlflow_python, folder) as started:
        yield _served(str(started.keys["target.endpoint"]), mlflow_python, folder)
