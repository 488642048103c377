"""Where keys, budgets, answers and the ledger are kept: one SQLite file, or PostgreSQL for several gateways."""

from __future__ import annotations

import hmac
import importlib.util
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from memberwise.errors import MissingExtraError, StoreError, StudyError
from memberwise.gateway.policy import StoreConfig
from memberwise.gateway.tables import SCHEMA, counters, metadata, secrets, versions

# How long a writer waits for another one, in seconds.
WAIT = 30
# When a server that is silent counts as away: libpq's settings, in seconds and (the last) milliseconds.
PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# The number under which PostgreSQL's gateways take turns in making the tables.
CREATION = 0x6D656D62


class StatementError(StoreError):
    """The store answers, and refuses what was to be done."""


class Store:
    """An open database.

    Attributes:
        engine: of SQLAlchemy; ``reading`` and ``writing`` give connections.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        # Threads of one process wake each other; SQLite's own waiting sleeps, and may sleep past its turn.
        self._turn = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a database by its address, and make its tables where it has none.

        Args:
            url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.

        Raises:
            StudyError: no such address.
            StoreError: the database cannot be reached, or is of another version.
        """
        address = _address(url)
        place = _place(address)
        engine = _engine(address)
        store = cls(engine)
        try:
            store._create(place)
        except SQLAlchemyError as error:
            engine.dispose()
            raise StoreError(
                "the gateway's store cannot be opened", found=_reason(error, address), where=place
            ) from None
        except BaseException:
            engine.dispose()
            raise
        return store

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer, of this process or another one, runs beside.

        Raises:
            StoreError: the database does not answer; nothing was written, or (where it went away while it committed)
                nobody knows.
        """
        with self._in_turn(), self._connection(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                # One row's lock makes all gateways take turns: counters are read and written by one at a time.
                connection.execute(sa.select(counters.c.spent).where(counters.c.name == "total").with_for_update())
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees what was committed last.

        Raises:
            StoreError: the database does not answer.
        """
        with self._connection(writes=False) as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(isolation_level="AUTOCOMMIT")  # one trip to the server, not three
            yield connection

    def claim(self, mark: bytes) -> None:
        """Take the store for the gateways of one secret, by a digest of it.

        Args:
            mark: 32 bytes, from which the secret cannot be told.

        Raises:
            StudyError: gateways of another secret keep their budgets here.
        """
        with self.writing() as connection:
            kept = connection.execute(sa.select(secrets.c.digest)).scalar()
            if kept is None:
                connection.execute(secrets.insert().values(digest=mark))
            elif not hmac.compare_digest(bytes(kept), mark):
                raise StudyError(
                    "the store belongs to gateways of another secret",
                    expected="the secret.key with which it was begun: by it records are told apart",
                    where=_place(self.engine.url),
                    fix="copy that secret.key beside this policy, mode 600; or begin a new store",
                )

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=WAIT):
            raise StoreError("the gateway's store does not answer", found="another writer has not ended")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _connection(self, *, writes: bool) -> Iterator[sa.Connection]:
        try:
            with self.engine.connect() as connection:
                yield connection.execution_options(writes=writes)
        except SQLAlchemyError as error:
            place, reason = _place(self.engine.url), _reason(error, self.engine.url)
            if isinstance(error, (DataError, IntegrityError, ProgrammingError)):
                raise StatementError("the gateway's store refuses this", found=reason, where=place) from None
            raise StoreError("the gateway's store does not answer", found=reason, where=place) from None

    def _create(self, place: str) -> None:
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATION)))
            new = not sa.inspect(connection).has_table(versions.name)
            # Of a store that is there already those that were added since; what is in the others stays as it is.
            metadata.create_all(connection)
            if new:
                connection.execute(versions.insert().values(version=SCHEMA))
                connection.execute(counters.insert().values(name="total", spent=0, nats=0.0))
            version = connection.execute(sa.select(versions.c.version)).scalar()
        if version != SCHEMA:
            raise StoreError(
                "the gateway's store is of another version of memberwise",
                expected=f"schema {SCHEMA}",
                found=f"schema {version}",
                where=place,
                fix="serve with the version that made it, or begin a new store: budgets then begin anew",
            )


def store_url(config: StoreConfig, folder: Path) -> str:
    """The address of a policy's store: a relative SQLite file lies beside the policy.

    Raises:
        StudyError: the environment variable that holds the address is not set, or there is none.
    """
    text = config.url
    if config.url_env is not None:
        text = os.environ.get(config.url_env)
        if not text:
            raise StudyError(
                "the address of the gateway's store is not there",
                expected=f"the environment variable {config.url_env}",
                where="store.url_env",
                fix=f"export {config.url_env}=postgresql://USER:PASSWORD@HOST/DATABASE",
            )
    if text is None:
        raise StudyError("the gateway has no store", expected="url or url_env", where="store")
    address = _address(text)
    if address.get_backend_name() != "sqlite":
        return text
    return address.set(database=str((folder / str(address.database)).absolute())).render_as_string(hide_password=False)


def _address(url: str) -> sa.URL:
    """The parsed address, with its driver; no error shows it, as it may hold a password."""
    try:
        address = sa.make_url(url)
    except (ArgumentError, ValueError):
        address = None
    scheme = None if address is None else address.drivername
    drivers = {"sqlite": "sqlite", "sqlite+pysqlite": "sqlite"} | dict.fromkeys(
        ("postgres", "postgresql", "postgresql+psycopg"), "postgresql+psycopg"
    )
    if address is None or scheme not in drivers:
        raise StudyError(
            "this is no address of a store",
            expected="sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
            found="no address" if scheme is None else f"{scheme}://",
            where="store.url",
        )
    file = address.database or ""
    if drivers[scheme] == "sqlite" and (not file or ":memory:" in file or file.startswith("file:") or address.query):
        raise StudyError(
            "this is no file of a store",
            expected="sqlite:///FILE, without options: a store in memory would forget what was spent",
            where="store.url",
        )
    return address.set(drivername=drivers[scheme])


def _engine(address: sa.URL) -> sa.Engine:
    if address.get_backend_name() == "postgresql":
        if importlib.util.find_spec("psycopg") is None:
            raise MissingExtraError.of("psycopg", "serve-many", "a store in PostgreSQL")
        # Counters are read after their lock is taken, and as they are then, whatever the server's default.
        engine = sa.create_engine(
            address,
            isolation_level="READ COMMITTED",
            pool_size=16,
            pool_pre_ping=True,
            connect_args=PATIENCE,
            hide_parameters=True,
        )
        sa.event.listen(engine, "connect", _prepare_postgresql)
        return engine
    _make_private(Path(str(address.database)))
    engine = sa.create_engine(address, connect_args={"timeout": WAIT}, pool_size=16, hide_parameters=True)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Make the file, readable by its owner alone, before SQLite makes it readable by others."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(
            "the gateway's store cannot be opened", found=error.strerror or str(error), where=str(path)
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """A commit is on the disk when it returns; transactions begin where we say, not where the driver would."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {WAIT * 1000}")
    connection.execute("PRAGMA synchronous = FULL")
    end = time.monotonic() + WAIT
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:  # another process is just doing so, which the busy timeout does not wait for
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgresql(connection: Any, _record: object) -> None:
    """A commit is on the disk when it returns, whatever the server's or the role's default."""
    before, connection.autocommit = connection.autocommit, True
    connection.execute("SET synchronous_commit TO on")
    connection.execute(f"SET lock_timeout TO '{WAIT}s'")
    # A gateway that froze in a transaction must not hold up the others until they give up.
    connection.execute(f"SET idle_in_transaction_session_timeout TO '{WAIT // 3}s'")
    connection.autocommit = before


def _place(address: sa.URL) -> str:
    """The address without what may be secret: the password and all options, which may hold it too."""
    return address.set(query={}).render_as_string(hide_password=True)


def _reason(error: SQLAlchemyError, address: sa.URL) -> str:
    """What the driver says, in its first line, without the password that it may repeat."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    line = (str(cause).strip() or type(cause).__name__).partition("\n")[0]
    password = None if address.password is None else str(address.password)
    return line.replace(password, "***") if password else line
