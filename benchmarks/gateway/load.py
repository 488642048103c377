"""The gateway under load beside a bare proxy of the same stack before the same upstream: ``python load.py``.

Needs ``wrk``. Upstream, proxy, gateway and load share the machine; proxy and gateway take turns, so that what else the
machine does meets both. Memory is read off the gateway's process; ``--requests 100000`` follows it over so many.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import machine, versions

from memberwise.reproduce import servers

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "gateway-load.json"
MEMORY = HERE.parent / "results" / "gateway-memory.json"
# Nothing is refused: what is measured is the cost of counting, not a budget's end.
POLICY = """\
version = 1
answer = [{{ name = "logit-clipping", r = 3.0 }}, {{ name = "rounding", digits = 3 }}]

[upstream]
url = "http://127.0.0.1:{upstream}"
protocol = "v2"
model = "model"
classes = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]
shape = [30]
answers = "probabilities"

[server]
port = {port}

[budget.neighbourhood]
questions = 1000000000

[plans.default]
questions = 1000000000
rates = ["1000000/second"]
"""


@contextmanager
def running(command: list[str], port: int, path: str, folder: Path, **environment: str) -> Iterator[int]:
    """A server that answers at ``path``; its process number."""
    address = f"http://127.0.0.1:{port}{path}"
    with servers.running(command, folder, lambda: servers.answers(address), seconds=60, env=environment) as process:
        yield process.pid


def load(port: int, seconds: float, number: int, connections: int, token: str = "") -> dict[str, float]:
    """Figures of one run of wrk."""
    command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(HERE / "records.lua")]
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{port}", "--", str(number), token], capture_output=True, text=True, check=True
    )
    line = next(line for line in out.stdout.splitlines() if line.startswith("RESULT "))
    facts: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return facts | {"rate": facts["requests"] / facts["seconds"]}


def resident_mb(pid: int) -> float:
    """Memory of a process that is in use."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def uvicorn(app: str, port: int) -> list[str]:
    """The command that serves an application of upstream.py, as the gateway is served."""
    quiet = ["--log-level", "error", "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", app, "--app-dir", str(HERE), "--port", str(port), *quiet]


@dataclass(frozen=True)
class Standing:
    """Servers that are up: ports of proxy and gateway, the gateway's process, and a key to it."""

    proxy: int
    gateway: int
    pid: int
    token: str


@contextmanager
def standing(connections: int) -> Iterator[Standing]:
    """Upstream, bare proxy and gateway, warm."""
    upstream, proxy, gateway = (servers.free_port() for _ in range(3))
    memberwise = [sys.executable, "-m", "memberwise.cli.main"]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "policy.toml").write_text(POLICY.format(upstream=upstream, port=gateway))
        key = subprocess.run(
            [*memberwise, "keys", "new", "load", "--policy", "policy.toml"],
            cwd=folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        token = key.stdout.strip()
        folders = [folder / which for which in ("upstream", "proxy", "gateway")]
        for one in folders:
            one.mkdir()
        ready, address = "/v2/health/ready", f"http://127.0.0.1:{upstream}"
        stack.enter_context(running(uvicorn("upstream:model", upstream), upstream, ready, folders[0]))
        stack.enter_context(running(uvicorn("upstream:proxy", proxy), proxy, ready, folders[1], UPSTREAM=address))
        pid = stack.enter_context(
            running([*memberwise, "serve", str(folder / "policy.toml")], gateway, "/health/live", folders[2])
        )
        load(proxy, 2, 10_000, connections)
        load(gateway, 2, 10_001, connections, token)
        yield Standing(proxy, gateway, pid, token)


def measure_memory(requests: int, connections: int, seconds: float = 10.0) -> dict[str, object]:
    """The gateway's memory after so many requests, each about another record, by runs of ``seconds``."""
    done, points = 0.0, list[dict[str, float]]()
    with standing(connections) as up:
        while done < requests:
            one = load(up.gateway, seconds, len(points), connections, up.token)
            done += one["requests"]
            points.append({"requests": done, "memory_mb": resident_mb(up.pid), "failed": one["failed"]})
            print(f"{done:,.0f} requests: {points[-1]['memory_mb']:.1f} MB", file=sys.stderr, flush=True)
    return {"connections": connections, "points": points}


def measure(seconds: float, turns: int, connections: int) -> dict[str, object]:
    """Rates and latencies of both, by turns; the gateway's memory."""
    with standing(connections) as up:
        before = resident_mb(up.pid)
        pairs = []
        for turn in range(turns):
            bare = load(up.proxy, seconds / turns, 2 * turn, connections)
            pairs.append((bare, load(up.gateway, seconds / turns, 2 * turn + 1, connections, up.token)))
            print(f"bare {bare['rate']:.0f}/s  gateway {pairs[-1][1]['rate']:.0f}/s", file=sys.stderr)
        after = resident_mb(up.pid)
    ratios = [ours["rate"] / bare["rate"] for bare, ours in pairs]
    return {
        "connections": connections,
        "seconds_each": seconds,
        "bare": _medians([bare for bare, _ in pairs]),
        "gateway": _medians([ours for _, ours in pairs]),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "gateway_requests": sum(ours["requests"] for _, ours in pairs),
        "gateway_memory_mb": [before, after],
    }


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    figures = {name: statistics.median(run[name] for run in runs) for name in ("rate", "p50_ms", "p99_ms")}
    return figures | {"failed": sum(run["failed"] for run in runs)}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of load on each of the two")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--requests", type=int, help="instead: the gateway's memory over so many requests")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian's package wrk)")
    if options.requests is None:
        facts, out = measure(options.seconds, options.turns, options.connections), options.out or RESULTS
    else:
        facts, out = measure_memory(options.requests, options.connections), options.out or MEMORY
    facts |= {"machine": machine(), "versions": versions()}
    out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
