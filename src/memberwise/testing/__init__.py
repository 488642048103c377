"""Membership leakage as a test of one's own suite: an assertion, and a fixture (``plugin``) that comes with pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memberwise.testing.assertion import assert_leakage_below as assert_leakage_below

__all__ = ["assert_leakage_below"]
# How the warning begins that a finished result has kept a limit which an audit with the rule might not.
WEAKER = "kept by the attacks that ran"


def __getattr__(name: str) -> object:
    """Imported where it is used: pytest loads the plugin, and with it this package, in every suite."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from memberwise.testing import assertion

    return getattr(assertion, name)
