"""Fixtures, marks and profiles for all rooms."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# One thread a process, said before torch is imported: tests run a process a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Audits train on as many threads as there are cores, and threads that wait for a core that another process has take
# many times as long (measured: 17 times): each of several processes, with all that it starts, keeps to one core.
ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
OWN_CORE = ALL_CORES
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and ALL_CORES:
    OWN_CORE = [ALL_CORES[int(worker.removeprefix("gw")) % len(ALL_CORES)]]
    os.sched_setaffinity(0, OWN_CORE)

# A run in the background of a shell ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# As the command line does: what imports make stays, and need not be looked through for circles again and again.
gc.set_threshold(50_000)

# Every file of a run is on the disk before its name is (fsync): in memory that is free, where there is enough of it.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# No deadline: on a busy machine the time of one example says nothing about the code. How many inputs fuzzing tests draw
# is the profile's, too: --hypothesis-profile=thorough draws 25 times as many.
settings.register_profile("memberwise", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("memberwise")

# What runs beside the tests (PostgreSQL, Redis, a browser, model servers): fixtures for all rooms.
OF_SERVICES = ("daemons", "browser", "model_servers", "ray_cluster", "slurm")
pytest_plugins = ("gateway.gateways", *(f"services.{name}" for name in OF_SERVICES))
SERVICES = frozenset(
    {"postgresql_url", "redis_server", "chromium", "axe_source", "mlserver_python", "mlflow_python", "nginx"}
    | {"ray_nodes", "slurm"}
)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, or the test is skipped."""
    folder = os.environ.get("MEMBERWISE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data sets: set MEMBERWISE_DATA to the folder with mnist.npz, adult.csv, ...")
    return Path(folder)


def shared_fixture(item: pytest.Item) -> str | None:
    """What tests should share by running in one process: a module's own fixture (its file), or a model server."""
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    if any(one.scope == "module" for several in definitions.values() for one in several):
        return item.nodeid.partition("::")[0]
    return next((name for name in ("mlserver", "mlflow_server") if name in definitions), None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A cluster's nodes run on all cores: on one they would starve whoever starts and asks them."""
    if ALL_CORES != OWN_CORE:
        of_cluster = any(mark.args[:1] in (("ray",), ("slurm",)) for mark in item.iter_markers("xdist_group"))
        os.sched_setaffinity(0, ALL_CORES if of_cluster else OWN_CORE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark what asks for the real data or for a service, before ``-m`` chooses; what shares a fixture runs together.

    What is slow comes first, in random order as all else: a long test that began last would keep one process busy.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        group = shared_fixture(item)
        if group is not None and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(group))
        if "real_data" in fixtures:
            item.add_marker("real_data")
        if fixtures & SERVICES:
            item.add_marker("services")
    yield
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
