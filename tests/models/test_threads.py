"""How many cores a process takes for its own."""

from __future__ import annotations

import os

import pytest

from memberwise.models.threads import cores


def test_cores_are_those_that_the_process_may_use() -> None:
    assert 1 <= cores() <= len(os.sched_getaffinity(0))


def test_share_of_the_machine_bounds_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # read where a container's quota is
    assert cores() == 1
