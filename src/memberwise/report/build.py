"""``result.json`` from the facts of a run and its assessment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from memberwise import __version__
from memberwise.report.schema import SCHEMA_VERSION
from memberwise.study.schema import Study

Note = tuple[str, str]


def target_facts(
    kind: str,
    architecture: str | None,
    train: tuple[float, float],
    test: tuple[float, float],
    validation: float | None = None,
) -> dict[str, Any]:
    """The ``target`` part; ``train`` and ``test`` are (accuracy, loss), ``validation`` an accuracy."""
    return {
        "kind": kind,
        "architecture": architecture,
        "train_accuracy": train[0],
        "test_accuracy": test[0],
        "train_loss": train[1],
        "test_loss": test[1],
        "gap": train[0] - test[0],
        "validation_accuracy": validation,
    }


def build_result(
    study: Study,
    *,
    seconds: float,
    data: dict[str, Any],
    target: dict[str, Any],
    shadow: dict[str, Any] | None,
    headline: str,
    attacks: list[dict[str, Any]],
    epsilon: dict[str, Any] | None,
    beyond: dict[str, Any],
    skipped: list[dict[str, str]],
    records: dict[str, Any],
    family: dict[str, Any],
    verdict: dict[str, Any],
    notes: Sequence[Note],
    encoding: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole of ``result.json``, in the schema's order."""
    return {
        "schema_version": SCHEMA_VERSION,
        "memberwise_version": __version__,
        "study": study.to_dict(),
        "seed": study.run.seed,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "data": data,
        "encoding": encoding,
        "target": target,
        "shadow": shadow,
        "headline": headline,
        "attacks": attacks,
        "epsilon": epsilon,
        **beyond,
        "skipped": skipped,
        "records": records,
        "family": family,
        "verdict": verdict,
        "warnings": [{"code": code, "message": message} for code, message in notes],
    }
