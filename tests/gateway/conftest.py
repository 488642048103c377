"""Stores of the gateway: SQLite in a folder of the test's own, PostgreSQL in a database of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memberwise.gateway.store import Store


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gateway.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def any_url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database, of each kind in turn."""
    name = "sqlite_url" if request.param == "sqlite" else "postgresql_database"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    store = Store.open(sqlite_url)
    yield store
    store.close()


@pytest.fixture
def any_store(any_url: str) -> Iterator[Store]:
    store = Store.open(any_url)
    yield store
    store.close()
