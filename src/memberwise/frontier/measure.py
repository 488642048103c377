"""What one point of the frontier costs and buys, read off its audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memberwise.defences.training.registry import guaranteed
from memberwise.frontier.attackers import BY_LABELS, considered
from memberwise.frontier.points import Point
from memberwise.frontier.strength import Met, accuracy_of_strongest, met
from memberwise.report.result import Result
from memberwise.report.sentence import attack_named
from memberwise.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper
from memberwise.statistics.thresholds import OPTIMISTIC
from memberwise.study.schema import Study

Json = Mapping[str, Any]
# The rate at which points are compared, unless the constraint names another.
FPR = 0.01


def measure(point: Point, audit: Result, study: Study, fpr: float) -> tuple[dict[str, Any], Met]:
    """One row of the frontier (accuracies, what the strongest attack achieves, cost, guarantee), and its attacks.

    ``tpr``, ``auc`` and ``attack_accuracy`` are each the strongest attack's by that figure, with an interval that holds
    for all attacks at once; ``rate`` says what the TPR is worth (see ``Met.rate``). ``attack_accuracy`` has the
    threshold chosen on shadow models; ``headline_accuracy`` is the headline's.
    """
    result, confidence = audit.to_dict(), study.statistics.confidence
    target, data, shadow = result["target"], result["data"], result.get("shadow") or {}
    chosen_on = {one["name"]: (one.get("threshold") or {}).get("chosen_on") for one in result["attacks"]}
    optimistic = [name for name, where in chosen_on.items() if where == OPTIMISTIC]
    names = considered(study, result["headline"], list(chosen_on), optimistic)
    meeting = met(audit, names, fpr, confidence)
    questions = {attack["name"]: attack["queries"] for attack in result["attacks"]}
    figures = {kind: meeting.figure(kind) for kind in ("tpr", "auc")}
    strongest = accuracy_of_strongest(result, names, confidence)
    dear = shadow.get("extra_seconds") or 0.0
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
        "headline_accuracy": (attack_named(result) or {}).get("balanced_accuracy"),
        **{kind: figure | {"queries": questions[figure["name"]]} for kind, figure in figures.items()},
        "rate": meeting.rate(),
        "attack_accuracy": strongest,
        "strongest": strongest,
        "gap": (attack_named(result, "gap") or {}).get("balanced_accuracy"),
        "attacks": [_attack(attack_named(result, name), fpr) for name in names],
        "by_labels": [name for name in names if name in BY_LABELS],
        "canaries": result.get("canaries"),
        **_guarantee(point, study, data),
        "seconds": None if shadow.get("seconds") is None else round(shadow["seconds"] - dear, 2),
        "attack_seconds": round(dear, 2),
        "warnings": [warning["code"] for warning in result["warnings"]],
    }, meeting


def _guarantee(point: Point, study: Study, data: Json) -> dict[str, float | None]:
    """``epsilon`` and ``delta`` of the models, None where nothing is promised."""
    rows = data["members"] + (data.get("background") or 0)
    epsilon, delta = guaranteed(point.study(study, "").training, rows) or (None, None)
    return {"epsilon": epsilon, "delta": delta}


def _attack(attack: Json | None, fpr: float) -> dict[str, Any]:
    """One attack's figures by itself, with intervals of its own."""
    known = attack or {}
    return {
        "name": known["name"],
        "queries": known["queries"],
        "auc": known["auc"],
        "balanced_accuracy": known.get("balanced_accuracy"),
        "tpr": next((row for row in known.get("tpr_at_fpr") or [] if row["fpr"] == fpr), None),
    }


def share(value: float | None, n: int | None, confidence: float) -> dict[str, Any] | None:
    """An accuracy over ``n`` records with its Clopper-Pearson interval; None without records."""
    if value is None or not n:
        return None
    error = (1 - confidence) / 2
    k = round(value * n)
    low, high = float(clopper_pearson_lower(k, n, error)), float(clopper_pearson_upper(k, n, error))
    return {"value": value, "low": low, "high": high, "n": n, "method": "Clopper-Pearson"}


def relative_to_undefended(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows beside the undefended one, which comes first.

    ``cost``: seconds of its shadow models' training and answers over those of the undefended ones; the questions of
    label-only attacks are not in it.
    """
    plain = rows[0]["seconds"] if rows else None
    return [row | {"cost": round(row["seconds"] / plain, 2) if plain and row["seconds"] else None} for row in rows]
