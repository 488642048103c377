"""PostgreSQL, Redis and nginx from Debian's packages, private to the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from .processes import HOW, free_port, running, short_folder


def _postgresql_programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``, which Debian keeps off the PATH: the newest version."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _unprivileged() -> str | None:
    """Whom PostgreSQL runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server's address for SQLAlchemy; tests that write take ``postgresql_database``."""
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip(f"needs PostgreSQL: apt-get install postgresql {HOW}")
    user = _unprivileged()
    with short_folder(user) as folder:
        data, port = folder / "data", free_port()
        initdb = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres"]
        initdb += ["--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(initdb, user=user, cwd=folder, check=True, capture_output=True)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "max_connections": "200",
            "fsync": "off",
        }
        command: list[str | Path] = [programs / "postgres", "-D", data, "-p", f"{port}"]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        asked = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", f"{port}"]
        with running(command, folder, lambda: subprocess.run(asked).returncode == 0, stop=signal.SIGQUIT, user=user):
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"


@pytest.fixture
def postgresql_database(postgresql_url: str) -> Iterator[str]:
    """The address of a new, empty database, which is dropped after the test."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    server = postgresql_url.replace("+psycopg", "")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{postgresql_url.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A Redis server's address; tests take ``redis_url``."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip(f"needs Redis: apt-get install redis-server {HOW}")
    import redis

    port = free_port()
    client = redis.Redis(port=port)

    def ready() -> bool:
        with suppress(redis.ConnectionError):
            return bool(client.ping())
        return False

    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with short_folder() as folder, running(command, folder, ready), client:
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The address of a Redis database that is empty as the test begins."""
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def nginx() -> str:
    """The program, to be started by ``running`` with a configuration and a folder of the test's own."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip(f"needs nginx: apt-get install nginx-light {HOW}")
    return program
