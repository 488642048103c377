"""Results as plain values, which tests of the report change before they are read."""

from __future__ import annotations

from typing import Any

from memberwise.report.schema import AuditResult

ATTACK = ("queries", "auc", "balanced_accuracy", "advantage", "precision", "recall", "threshold", "seconds")
BLANK = {"data": {}, "target": {}, "skipped": [], "warnings": [], "schema_version": 2, "memberwise_version": "0"}


def attack_of(result: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """The attack called ``name``, the headline by default."""
    return next(attack for attack in result["attacks"] if attack["name"] == (name or result["headline"]))


def typed(result: dict[str, Any]) -> AuditResult:
    """A result of which a test states only what it is about."""
    attacks = [dict.fromkeys(ATTACK) | attack for attack in result["attacks"]]
    return AuditResult.from_dict(BLANK | result | {"attacks": attacks})
