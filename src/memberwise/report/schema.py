"""The version of ``result.json``, and how results of earlier versions are read."""

from __future__ import annotations

from typing import Any

SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)


def as_current(result: dict[str, Any]) -> dict[str, Any]:
    """A result of any readable version with every part that this version has; what version 1 lacks is empty.

    Version 1 judged rules without an attack's name on the headline alone: its ``family`` is None, and stays so.
    """
    verdict = result["verdict"] | {name: result["verdict"].get(name) or [] for name in ("rules", "withheld")}
    return result | {"family": result.get("family"), "redacted": result.get("redacted") or [], "verdict": verdict}
