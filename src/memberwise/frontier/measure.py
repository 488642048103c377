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


def with_costs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row's cost: its shadow models' seconds over those of the undefended ones, which come first."""
    plain = rows[0]["seconds"] if rows else None
    return [row | {"cost": round(row["seconds"] / plain, 2) if plain and row["seconds"] else None} for row in rows]


def broken_attacks(rows: Sequence[Json]) -> list[tuple[str, str]]:
    """Warnings where no attack reaches the gap attack, which needs labels alone: the attacks broke, not the leak."""
    notes = []
    for row in rows:
        strongest, gap = row.get("strongest"), row.get("gap")
        if not strongest or not gap or strongest["value"] is None or gap.get("value") is None:
            continue
        others = row["attack_accuracy"] or {}
        if others.get("high") is not None and others["high"] < gap["value"]:
            notes.append(
                (
                    "attack-below-gap",
                    f"{row['label']}: the headline attack's accuracy ({others['value']:.3f}) lies below the gap "
                    f"attack's ({gap['value']:.3f}), which needs nothing but labels: this defence broke the attack, "
                    "not the leak",
                )
            )
    return notes
