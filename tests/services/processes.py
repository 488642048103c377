"""A server that runs beside the tests: started on a free port, waited for, stopped whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[2]
HOW = "(`make services` tells what is missing and makes what can be made)"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def short_folder(owner: str | None = None) -> Iterator[Path]:
    """A folder of short name that this user can reach: sockets have short names, and pytest's folders are ours only."""
    folder = Path(tempfile.mkdtemp(prefix="mw-", dir="/tmp" if os.name == "posix" else None))
    try:
        if owner is not None:
            shutil.chown(folder, owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    """The command as a process group of its own in ``folder``, whose output goes to ``folder/output.log``."""
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
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")
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


def answers(url: str) -> bool:
    """Whether this address answers with success."""
    try:
        with urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
