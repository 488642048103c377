"""The fixture ``assert_leakage_below``, known to pytest wherever memberwise is installed; light until it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from memberwise.testing import WEAKER

if TYPE_CHECKING:
    from memberwise.report.result import Result


def pytest_configure(config: pytest.Config) -> None:
    """``WEAKER`` is shown, not raised, where a suite's warnings are errors, unless the command line says otherwise."""
    config.addinivalue_line("filterwarnings", f"default:{WEAKER}:UserWarning")


@pytest.fixture(scope="session")
def assert_leakage_below() -> Callable[..., Result]:
    """:func:`memberwise.testing.assert_leakage_below`."""
    from memberwise.testing import assert_leakage_below

    return assert_leakage_below
