"""Tests that share a fixture run in one process: pytest-xdist writes a test's group behind its name."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("groups")
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all")
def test_a_group_reaches_the_scheduler(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@groups")
