"""A Slurm of one node with accounting, from Debian's packages, private to the tests; as root only: munge wants it."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .processes import HOW, free_port, running, short_folder

PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "sbatch", "mariadbd", "mariadb-install-db")
CLUSTER = "memberwise"
DATABASE = """
CREATE DATABASE slurm_acct_db;
CREATE USER slurm@localhost IDENTIFIED BY 'slurm';
CREATE USER slurm@'127.0.0.1' IDENTIFIED BY 'slurm';
GRANT ALL ON slurm_acct_db.* TO slurm@localhost;
GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1';
"""
ACCOUNTING = """
AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
"""
# Only loopback; processes are found by Linux's table of them and not by cgroups, which a container has not to give.
CONTROLLER = """
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={munge}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=200000
ReturnToService=2
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=2000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The file for ``SLURM_CONF`` of a running Slurm."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        pytest.skip(f"needs Slurm: no {', '.join(missing)} {HOW}")
    if os.geteuid() != 0:
        pytest.skip("needs Slurm, which only root can start here")
    with ExitStack() as stack:
        yield _start(stack, stack.enter_context(short_folder()))


def _start(stack: ExitStack, folder: Path) -> Path:
    folder.chmod(0o755)

    def start(name: str, *options: str | Path, ready: Callable[[], bool], user: str | None = None) -> None:
        place = folder / name
        place.mkdir(exist_ok=True)
        if user is not None:
            shutil.chown(place, user)
        stack.enter_context(running([str(_program(name)), *options], place, ready, seconds=90, user=user))

    def asks(*command: str | Path) -> bool:
        try:
            return subprocess.run([str(part) for part in command], capture_output=True, timeout=20).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    munge, settings = _munge(folder), folder / "slurm.conf"
    ports = {name: free_port() for name in ("database", "dbd", "controller", "node")}
    values = {"folder": folder, "munge": munge, "host": platform.node().partition(".")[0], "cluster": CLUSTER, **ports}
    settings.write_text(CONTROLLER.format(**values))
    accounting = folder / "slurmdbd.conf"
    accounting.write_text(ACCOUNTING.format(**values))
    accounting.chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("SLURM_CONF", str(settings))
    keys = [f"--{name}-file={folder}/munged/munge.{name.partition('-')[0]}" for name in ("key", "pid", "seed", "log")]
    start("munged", "--foreground", "--force", f"--socket={munge}", *keys, user="munge", ready=munge.exists)
    socket = _database(folder, str(ports["database"]), start, asks)
    subprocess.run(
        ["mariadb", "--no-defaults", f"--socket={socket}", "-u", "root"], input=DATABASE, text=True, check=True
    )
    start("slurmdbd", "-D", ready=lambda: asks("sacctmgr", "-n", "-i", "list", "cluster"))
    asks("sacctmgr", "-i", "add", "cluster", CLUSTER)
    start("slurmctld", "-D", "-c", "-f", settings, ready=lambda: asks("scontrol", "ping"))
    start("slurmd", "-D", "-c", "-f", settings, ready=_is_idle)
    stack.callback(_cancel_all)  # what runs a task outlives Slurm's daemons
    return settings


def _cancel_all() -> None:
    until = time.monotonic() + 30
    subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=30)
    queue = ["squeue", "--noheader"]
    while time.monotonic() < until and subprocess.run(queue, capture_output=True, timeout=30).stdout.strip():
        time.sleep(0.2)


def _munge(folder: Path) -> Path:
    """A key of munge's own; gives where its socket is to be."""
    place = folder / "munged"
    place.mkdir()
    key = place / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    for path in (place, key):
        shutil.chown(path, "munge")
    key.chmod(0o400)
    return place / "socket"


def _database(folder: Path, port: str, start: Callable[..., None], asks: Callable[..., bool]) -> Path:
    """An empty database server; gives its socket."""
    place, socket = folder / "mariadbd", folder / "mariadbd" / "socket"
    place.mkdir()
    shutil.chown(place, "mysql")
    data = place / "data"
    made = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*made, "--skip-test-db"], user="mysql", cwd=place, check=True, capture_output=True)
    options = [f"--datadir={data}", f"--socket={socket}", f"--port={port}", "--bind-address=127.0.0.1"]
    small = ["--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", f"--pid-file={place}/pid"]
    ready = ("mariadb-admin", "--no-defaults", f"--socket={socket}", "-u", "root", "ping")
    start("mariadbd", "--no-defaults", *options, *small, user="mysql", ready=lambda: asks(*ready))
    return socket


def _is_idle() -> bool:
    done = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True)
    return done.stdout.strip() == "idle"


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")
