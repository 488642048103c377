"""What one point of the frontier costs and buys, read off its audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memberwise.frontier.points import Point
from memberwise.report.sentence import attack_named
from memberwise.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper

Json = Mapping[str, Any]
# The rate at which points are compared, unless the constraint names another.
FPR = 0.01


def measure(point: Point, result: Json, fpr: float, confidence: float) -> dict[str, Any]:
    """One row of the frontier: accuracies, the headline attack at a false-positive rate, the strongest attack, cost.

    ``attack_accuracy`` is the headline's balanced accuracy with the threshold chosen on shadow models; ``strongest`` is
    the attack with the highest such accuracy (picked among many, so it flatters the attacker a little).
    """
    target, data = result["target"], result["data"]
    headline = attack_named(result) or {}
    decided = [a for a in result["attacks"] if (a.get("balanced_accuracy") or {}).get("value") is not None]
    honest = [a for a in decided if a["name"] != "top-one-search"]
    strongest = max(honest, key=lambda a: float(a["balanced_accuracy"]["value"]), default=None)
    gap = attack_named(result, "gap") or {}
    return {
        "label": point.label,
        "defence": point.name,
        "options": point.options,
        "place": point.place,
        "training": point.training,
        "train_accuracy": target["train_accuracy"],
        "test_accuracy": share(target["test_accuracy"], data.get("test"), confidence),
        "validation_accuracy": share(target.get("validation_accuracy"), data.get("validation"), confidence),
        "headline": result["headline"],
        "auc": headline.get("auc"),
        "tpr": next((row for row in headline.get("tpr_at_fpr") or [] if row["fpr"] == fpr), None),
        "attack_accuracy": headline.get("balanced_accuracy"),
        "strongest": None if strongest is None else {"name": strongest["name"], **strongest["balanced_accuracy"]},
        "gap": gap.get("balanced_accuracy"),
        "canaries": result.get("canaries"),
        "seconds": (result.get("shadow") or {}).get("seconds"),
        "warnings": [warning["code"] for warning in result["warnings"]],
    }


def share(value: float | None, n: int | None, confidence: float) -> dict[str, Any] | None:
    """An accuracy over ``n`` records with its Clopper-Pearson interval; None without records."""
    if value is None or not n:
        return None
    error = (1 - confidence) / 2
    k = round(value * n)
    low, high = float(clopper_pearson_lower(k, n, error)), float(clopper_pearson_upper(k, n, error))
    return {"value": value, "low": low, "high": high, "n": n, "method": "Clopper-Pearson"}


def beside_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows beside the undefended one, which comes first.

    ``cost``: seconds of its shadow models over those of the undefended ones. ``same_attack``: the headline is the same
    attack, without which rates cannot be compared (a score of 0 or 1 has none at small false-positive rates).
    """
    plain, headline = (rows[0]["seconds"], rows[0]["headline"]) if rows else (None, None)
    return [
        row
        | {
            "cost": round(row["seconds"] / plain, 2) if plain and row["seconds"] else None,
            "same_attack": row["headline"] == headline,
        }
        for row in rows
    ]
