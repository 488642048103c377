"""Whole audits and frontiers on Ray: a user's files, a driver that is killed or interrupted, Ray's client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import memberwise as mw
from memberwise.reproduce.bench import Bench
from memberwise.reproduce.registry import find_reproduction
from memberwise.store.blocks import BlockStore, block_name
from memberwise.training.engines.registry import EngineSession

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
# While somebody looks on, what comes after four blocks waits: not for ever, for the first may come last.
MODEL = """
import time
from pathlib import Path
import torch
from layers_beside import WATCHED, WIDTH

def make():
    until = time.monotonic() + 5
    while time.monotonic() < until and len(list(Path(WATCHED).glob("block-*.npz"))) > FIRST:
        time.sleep(0.05)
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 10)]
    return torch.nn.Sequential(*layers)
"""
COUNT, FIRST = 24, 4
ROLES: dict[str, Any] = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": COUNT}
SETTINGS = {"training.epochs": 12, "plan.stack": 2, "plan.threads": 1, "statistics.turns": 8}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With a model from a file of the user's, beside which another lies; models take turns, too."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "model.py").write_text(MODEL.replace("FIRST", str(FIRST)))
    (folder / "layers_beside.py").write_text(f"WIDTH, WATCHED = 7, {str(folder / 'watched')!r}\n")
    return ROLES | {"model": f"{folder / 'model.py'}:make", "attacks": "lira-online-fixed", "settings": SETTINGS}


@pytest.fixture(scope="module")
def here(study: dict[str, Any]) -> mw.Result:
    """By this machine alone."""
    return mw.audit(**study)


def command(study: dict[str, Any], out: Path, *more: str) -> list[str]:
    """The same study from the command line, by Ray."""
    flags = {name.replace("_", "-"): value for name, value in study.items() if name != "settings"}
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    words += [word for key, value in study["settings"].items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "memberwise.cli.main", "audit", *words, "--out", str(out), "--engine", "ray", *more]


def blocks(out: Path) -> int:
    """Of shadow models, in the run folder, up to the first that is missing: a report is made of these."""
    there, count = BlockStore(out / "signals").manifest, 0
    while block_name(count + 1) in there:
        count += 1
    return count


def begun(study: dict[str, Any], out: Path, quit_by: signal.Signals, *more: str) -> tuple[int, str]:
    """Carry the command out until the first four blocks are written; then the signal goes where a terminal sends it."""
    watched = Path(study["model"].rpartition(":")[0]).with_name("watched")
    watched.symlink_to(out / "signals")
    process = subprocess.Popen(command(study, out, *more), stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 300
    while blocks(out) < FIRST and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    if process.poll() is None:
        os.killpg(process.pid, quit_by)
    watched.unlink()
    _, told = process.communicate(timeout=120)
    assert FIRST <= blocks(out) < COUNT / 2, told
    return process.returncode, told


def test_a_killed_driver_begun_by_rays_client_goes_on(
    ray_nodes: Any, study: dict[str, Any], here: mw.Result, tmp_path: Path
) -> None:
    """With files of the user's own, which travel to workers both times."""
    out = tmp_path / "run"
    code, _ = begun(study, out, signal.SIGKILL, "--ray-address", ray_nodes.ray_client)
    assert code == -signal.SIGKILL
    there = mw.audit(**study, engine="ray", out=out)
    shadow = there.to_dict()["shadow"]
    assert shadow["engine"] == "ray"
    assert 2 <= shadow["resumed"] < sum(shadow["processors"].values()) == COUNT
    assert here.scores.equals(there.scores)
    assert here.to_dict()["recipe"] == there.to_dict()["recipe"], "models in turn"


@pytest.mark.xdist_group("a ray of their own")
def test_ctrl_c_reports_and_the_run_goes_on_elsewhere(study: dict[str, Any], here: mw.Result, tmp_path: Path) -> None:
    """A Ray of this machine, which the command has started itself, gets the signal too."""
    pytest.importorskip("ray")
    out = tmp_path / "run"
    code, told = begun(study, out, signal.SIGINT)
    assert code == 130, told
    assert "interrupted" in told
    report = json.loads((out / "result.json").read_text())
    assert 2 <= report["shadow"]["count"] < COUNT
    assert "interrupted" in {warning["code"] for warning in report["warnings"]}
    again = mw.audit(**study, out=out)
    assert again.to_dict()["shadow"]["resumed"] >= report["shadow"]["count"]
    assert here.scores.equals(again.scores)


@pytest.mark.xdist_group("a ray of their own")
def test_one_ray_is_started_for_all_points(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    script = Path(__file__).with_name("local_ray_defend.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    starts, is_open, points, engines = json.loads(done.stdout.splitlines()[-1])
    assert starts == ["local"]
    assert not is_open
    assert points == 2
    assert len(engines) > points, "what is recommended is audited again on a fresh seed"
    assert {*engines} == {"ray"}


def test_audits_of_a_reproduction_go_to_ray(ray_nodes: Any, tmp_path: Path) -> None:
    settings: dict[str, object] = {"data.members": 60, "data.nonmembers": 60, "shadow.count": 4, "shadow.cascade": 4}
    settings |= {"attacks.use": ["lira-online-fixed"], "training.epochs": 2, "plan.stack": 2, "plan.threads": 1}
    scores = []
    for name in ("ray", "local"):
        with EngineSession() as session:
            made, engine = find_reproduction("overview-lira"), {"engine.name": name}
            bench = Bench(made, "smoke", 1, "cpu", tmp_path / name, ("digits",), engine=engine, session=session)
            result = bench.audit("one", settings)
        assert result.to_dict()["shadow"]["engine"] == name
        assert result.to_dict()["shadow"]["cascade"]["rounds"] == 1
        scores.append(result.scores)
    assert scores[0].equals(scores[1])
