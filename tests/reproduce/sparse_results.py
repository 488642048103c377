"""Results of which a test states only what it is about."""

from __future__ import annotations

from typing import Any

import pandas as pd

from memberwise.report.result import Result

VERDICT = {"gate": None, "passed": None, "reason": "no gate was set"}
BLANK: dict[str, Any] = {"data": {}, "target": {}, "records": {}, "verdict": VERDICT, "headline": "loss", "attacks": []}
ATTACK = ("queries", "auc", "balanced_accuracy", "advantage", "precision", "recall", "threshold", "seconds")


def result_of(values: dict[str, Any], scores: pd.DataFrame) -> Result:
    return Result({"study": {"run": {"seed": 3}}} | BLANK | values, scores)
