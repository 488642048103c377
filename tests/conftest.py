"""Fixtures for all rooms."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, or the test is skipped."""
    folder = os.environ.get("MEMBERWISE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs the real data sets: set MEMBERWISE_DATA to the folder with mnist.npz, adult.csv, ...")
    return Path(folder)
