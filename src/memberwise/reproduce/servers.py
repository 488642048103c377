"""Servers that run beside a reproduction: started on a free port, waited for, stopped whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from memberwise.errors import TrainingError
from memberwise.types.arrays import Floats32, Ints

MODEL = "clf"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "OMP_NUM_THREADS": "1"}
# Trained by the interpreter that serves it: a joblib file of another scikit-learn may not load.
TRAIN = """\
import sys
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

kind, folder = sys.argv[1], Path(sys.argv[2])
data = np.load(folder / "records.npz")
settings = {name: int(data[name]) for name in ("max_iter", "random_state")}
model = MLPClassifier((int(data["hidden"]),), activation="tanh", **settings).fit(data["x"], data["y"])
if kind == "mlserver":
    import joblib

    joblib.dump(model, folder / "model.joblib")
else:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    mlflow.sklearn.save_model(
        model, folder / "model", signature=infer_signature(data["x"], model.predict_proba(data["x"])),
        pyfunc_predict_fn="predict_proba", pip_requirements=["scikit-learn"],
        skops_trusted_types=["sklearn.neural_network._stochastic_optimizers.AdamOptimizer"],
    )
"""


@dataclass(frozen=True)
class Served:
    """A model that is served: study keys with which it is asked, and environment variables for its token."""

    keys: dict[str, object]
    environment: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def answers(url: str) -> bool:
    """Whether this address answers with success."""
    try:
        with urlopen(url, timeout=5) as response:  # noqa: S310 (an address of our own)
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


@contextmanager
def running(
    command: Sequence[str | Path],
    folder: Path,
    ready: Callable[[], bool],
    *,
    seconds: float = 30,
    stop: signal.Signals = signal.SIGTERM,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process group of its own in ``folder``, whose output goes to ``folder/output.log``.

    Raises:
        TrainingError: it ends before it is ready, or is not ready in time.
    """
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            env=None if env is None else {**os.environ, **env},
        )
    try:
        end = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise TrainingError(f"{command[0]} did not start", found=log.read_text("utf-8", "replace")[-2000:])
            time.sleep(0.1)
        yield process
    finally:
        _stop(process, stop)


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Asked first, then killed, with all that it has started."""
    with suppress(ProcessLookupError):
        process.send_signal(how)
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(15)


def interpreter(name: str) -> Path | None:
    """The Python of an environment with MLServer or MLflow: ``MEMBERWISE_MLSERVER``, else that of ``make services``."""
    named = os.environ.get(f"MEMBERWISE_{name.upper()}")
    path = Path(named) if named else Path(f".venv-{name}") / "bin" / "python"
    return path.absolute() if path.is_file() else None


def train(kind: str, python: Path, folder: Path, x: Floats32, y: Ints, settings: Mapping[str, int]) -> None:
    """A scikit-learn network, trained where it is to be served.

    Args:
        kind: "mlserver" or "mlflow". x: ``(n, features)``. y: ``(n,)`` class numbers. settings: hidden, max_iter and
            random_state.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    numbers = {name: np.array(value) for name, value in settings.items()}
    np.savez(folder / "records.npz", allow_pickle=False, x=x, y=y, **numbers)
    (folder / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [python, folder / "train.py", kind, folder], env={**os.environ, **QUIET}, capture_output=True, check=False
    )
    if done.returncode:
        raise TrainingError(f"{kind}'s model cannot be trained", found=done.stderr.decode("utf-8", "replace")[-2000:])


@contextmanager
def mlserver(python: Path, folder: Path) -> Iterator[Served]:
    """MLServer (Open Inference v2) with the model in ``folder``; its probabilities have to be asked for."""
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    settings = {
        "name": MODEL,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "version": "v1"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{ports['http_port']}"
    command: list[str | Path] = [python.parent / "mlserver", "start", folder]
    with running(command, folder, lambda: answers(f"{url}/v2/models/{MODEL}/ready"), seconds=180, env=QUIET):
        yield Served({"target.endpoint": url, "target.model": MODEL, "target.output": "predict_proba"})


@contextmanager
def mlflow(python: Path, folder: Path) -> Iterator[Served]:
    """MLflow's model server (``/invocations``) with the model in ``folder``."""
    port = free_port()
    command: list[str | Path] = [python, "-m", "mlflow", "models", "serve", "-m", folder / "model"]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    url = f"http://127.0.0.1:{port}"
    # The server starts uvicorn by its bare name.
    env = {**QUIET, "PATH": f"{python.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
    with running(command, folder, lambda: answers(f"{url}/ping"), seconds=180, env=env):
        yield Served({"target.endpoint": url, "target.protocol": "mlflow"})


@contextmanager
def gateway(policy: Path) -> Iterator[Served]:
    """Our gateway by a policy, with a key of its own."""
    port, memberwise = free_port(), [sys.executable, "-m", "memberwise.cli.main"]
    key = subprocess.run(
        [*memberwise, "keys", "new", f"auditor-{port}", "--policy", policy], capture_output=True, check=False
    )
    if key.returncode:
        raise TrainingError("the gateway makes no key", found=key.stderr.decode("utf-8", "replace")[-2000:])
    url = f"http://127.0.0.1:{port}"
    command = [*memberwise, "serve", str(policy), "--port", str(port)]
    with running(command, policy.parent, lambda: answers(f"{url}/health/ready"), seconds=120):
        yield Served(
            {"target.endpoint": url, "target.model": "model", "target.token_env": "MEMBERWISE_AUDITOR"},
            {"MEMBERWISE_AUDITOR": key.stdout.decode().strip()},
        )
