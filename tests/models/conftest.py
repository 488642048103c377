"""One thread: these networks are small, and threads that wait for each other cost more than they save."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memberwise.models.threads import threads_of


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads_of(1):
        yield
