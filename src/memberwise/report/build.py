"""``result.json`` from the facts of a run and its assessment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from memberwise._version import __version__
from memberwise.report.schema import SCHEMA_VERSION
from memberwise.study.schema import Study

Note = tuple[str, str]

# A shadow model is far from the target beyond this difference in accuracy, or three standard deviations of shadows'.
ACCURACY_GAP = 0.03
# Shadow models so far from the middle one are unlike it; judged from so many models on.
FAR_APART, FEWEST_ROBUST = 0.1, 8


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


def accuracy_notes(target: dict[str, Any], train: np.ndarray, test: np.ndarray) -> list[Note]:
    """A warning, with both figures, where shadow models are not like the target.

    Args:
        train, test: ``(m,)`` accuracies of the shadow models.
    """
    notes = []
    for what, own, shadows in (("train", target["train_accuracy"], train), ("test", target["test_accuracy"], test)):
        middle = float(np.median(shadows))
        # A few that failed would widen an ordinary deviation until nothing looks unusual.
        robust = 1.4826 * float(np.median(np.abs(shadows - middle)))
        spread = robust if len(shadows) >= FEWEST_ROBUST else float(shadows.std())
        apart = np.flatnonzero(np.abs(shadows - middle) > max(FAR_APART, 5 * robust))
        if len(shadows) >= FEWEST_ROBUST and len(apart):
            notes.append(
                (
                    "shadow-apart",
                    f"{len(apart)} of {len(shadows)} shadow models are unlike the others: {what} accuracy "
                    f"{shadows[apart].min():.3f} to {shadows[apart].max():.3f}, in the middle {middle:.3f}; attacks "
                    "that rest on them are weaker than they could be (a training that sometimes fails?)",
                )
            )
        if abs(own - middle) > max(ACCURACY_GAP, 3 * spread):
            notes.append(
                (
                    "shadow-accuracy",
                    f"the target's {what} accuracy is {own:.3f}, the shadow models' {shadows.mean():.3f} "
                    f"(standard deviation {shadows.std():.3f}): they are not like the target, so the attacks that "
                    "rest on them are weaker than they could be; check the recipe (training.*, model.*), or, with "
                    "saved answers, that both files hold the same records in the same order",
                )
            )
    return notes


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
