"""The store: made once by many, private, durable, append-only where it says so, and silent about passwords."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from memberwise.errors import MemberwiseError, StoreError, StudyError
from memberwise.gateway.ledger import entry, read_ledger, write_ledger
from memberwise.gateway.policy import StoreConfig
from memberwise.gateway.store import StatementError, Store, store_url
from memberwise.gateway.tables import counters, ledger, metadata

OPEN = "import sys; from memberwise.gateway.store import Store; Store.open(sys.argv[1]).close()"


@pytest.mark.slow
def test_eight_processes_make_one_store_at_once(any_url: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", OPEN, any_url], stderr=subprocess.PIPE) for _ in range(8)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [(b"", 0)] * 8
    store = Store.open(any_url)
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(counters)).scalar() == 1
    store.close()


def test_a_store_is_found_again(any_url: str) -> None:
    for _ in range(2):
        store = Store.open(any_url)
        with store.writing() as connection:
            connection.execute(counters.update().values(spent=counters.c.spent + 1))
        store.close()
    store = Store.open(any_url)
    with store.reading() as connection:
        assert connection.execute(sa.select(counters.c.spent)).scalar() == 2
        assert set(sa.inspect(connection).get_table_names()) == set(metadata.tables)
    store.close()


def test_what_fails_in_a_transaction_leaves_nothing(any_store: Store) -> None:
    def write(more: Callable[[sa.Connection], object]) -> None:
        with any_store.writing() as connection:
            connection.execute(counters.update().values(spent=5))
            more(connection)

    with pytest.raises(ZeroDivisionError):
        write(lambda _: 1 / 0)
    with pytest.raises(StatementError):
        write(lambda connection: connection.execute(counters.insert().values(name="total", spent=0, nats=0)))
    with any_store.reading() as connection:
        assert connection.execute(sa.select(counters.c.spent)).scalar() == 0


def test_another_schema_is_refused(any_url: str) -> None:
    store = Store.open(any_url)
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE schema_version SET version = 99"))
    store.close()
    with pytest.raises(StoreError, match="schema 99"):
        Store.open(any_url)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET client = 'another'",
        "DELETE FROM ledger",
        "DELETE FROM ledger WHERE id = 1",
        "INSERT OR REPLACE INTO ledger SELECT 1, 0.0, 'another', 'grant', NULL, NULL, 0, 0.0",
    ],
)
def test_sqlites_ledger_refuses_every_change(store: Store, statement: str) -> None:
    _fill(store)
    with pytest.raises(StoreError, match="append-only"), store.writing() as connection:
        connection.execute(sa.text(statement))
    assert [row.client for row in read_ledger(store)] == ["ann"]


@pytest.mark.services
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET client = 'another'",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "INSERT INTO ledger SELECT * FROM ledger ON CONFLICT (id) DO UPDATE SET client = 'another'",
    ],
)
def test_postgresqls_ledger_refuses_every_change(postgresql_database: str, statement: str) -> None:
    store = Store.open(postgresql_database)
    _fill(store)
    with pytest.raises(StoreError, match="append-only"), store.writing() as connection:
        connection.execute(sa.text(statement))
    assert [row.client for row in read_ledger(store)] == ["ann"]
    store.close()


def _fill(store: Store) -> None:
    with store.writing() as connection:
        write_ledger(connection, [entry(0.0, "ann", "grant", "vector", b"x" * 16, 1, 0.0)])
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ledger)).scalar() == 1


def test_sqlite_is_durable_and_its_owners_alone(store: Store, tmp_path: Path) -> None:
    _fill(store)
    with store.reading() as connection:
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "journal_mode")]
    assert settings == [2, "wal"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}, modes


@pytest.mark.services
def test_postgresql_commits_are_durable_by_our_setting(postgresql_database: str) -> None:
    engine = sa.create_engine(postgresql_database, isolation_level="AUTOCOMMIT")
    name = sa.make_url(postgresql_database).database
    with engine.connect() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit TO off"))
        connection.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_isolation TO 'serializable'"))
    engine.dispose()
    store = Store.open(postgresql_database)
    with store.writing() as connection:
        shown = [
            connection.execute(sa.text(f"SHOW {one}")).scalar()
            for one in ("synchronous_commit", "transaction_isolation")
        ]
    assert shown == ["on", "read committed"]
    store.close()


def test_a_relative_file_lies_beside_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    url = store_url(StoreConfig(), tmp_path / "a policy's #1 folder")
    Store.open(url).close()
    assert (tmp_path / "a policy's #1 folder" / "gateway.sqlite").is_file()
    absolute = f"sqlite:///{tmp_path / 'other.sqlite'}"
    assert store_url(StoreConfig(url=absolute), Path("/elsewhere")) == absolute


def test_an_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = StoreConfig(url_env="GATEWAY_STORE")
    monkeypatch.delenv("GATEWAY_STORE", raising=False)
    with pytest.raises(StudyError, match="GATEWAY_STORE"):
        store_url(config, Path())
    monkeypatch.setenv("GATEWAY_STORE", "postgresql://ann:s3cr3t%40@db.example/gateway")
    assert store_url(config, Path()) == "postgresql://ann:s3cr3t%40@db.example/gateway"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "mysql://ann:s3cr3t@db/x",
        "postgresql+asyncpg://ann:s3cr3t@db/x",
        "s3cr3t",
        "",
        "postgresql://ann:s3cr3t@db:port/x",
    ],
)
def test_another_kind_of_store_is_refused(url: str) -> None:
    with pytest.raises(StudyError) as error:
        Store.open(url)
    assert "s3cr3t" not in str(error.value)


def test_no_error_shows_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as error:
        Store.open("postgresql://ann:s3cr3t@127.0.0.1:1/x?application_name=s3cr3t")
    shown: BaseException | None = error.value
    while shown is not None:
        assert "s3cr3t" not in str(shown)
        shown = shown.__cause__
    assert "ann" in str(error.value)


@pytest.mark.services
def test_no_password_shows_when_a_server_refuses_it(postgresql_url: str) -> None:
    url = sa.make_url(postgresql_url).set(username="nobody", password="s3cr3t")
    with pytest.raises(StoreError, match="nobody") as error:
        Store.open(url.render_as_string(hide_password=False))
    assert "s3cr3t" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MemberwiseError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path / 'file' / 'gateway.sqlite'}")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    path.write_bytes(b"something else entirely " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.services
def test_a_lost_connection_is_made_anew(postgresql_database: str) -> None:
    store = Store.open(postgresql_database)
    with store.reading() as connection:
        own = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
    other = Store.open(postgresql_database)
    with other.reading() as connection:
        connection.execute(sa.text(f"SELECT pg_terminate_backend({own})"))
    with store.writing() as connection:
        assert connection.execute(sa.select(counters.c.spent)).scalar() == 0
    with pytest.raises(StoreError, match="does not answer"):
        _write_while_killed(store, other)
    with store.reading() as connection:
        assert connection.execute(sa.select(counters.c.spent)).scalar() == 0
    store.close()
    other.close()


def _write_while_killed(store: Store, other: Store) -> None:
    with store.writing() as connection:
        own = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
        with other.reading() as killer:
            killer.execute(sa.text(f"SELECT pg_terminate_backend({own})"))
        connection.execute(counters.update().values(spent=7))


def test_opening_needs_no_more_than_its_file(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path / 'gateway.sqlite'}").close()
    assert [name for name in os.listdir(tmp_path) if "gateway.sqlite" not in name] == []
