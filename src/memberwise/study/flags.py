"""The flags of the command line and the arguments of the Python interface, and the study key that each one sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# How a value is written on the command line: as it is, names by comma, names that the study has in one text, a number
# or a file, a switch, rates by comma.
FlagKind = Literal["value", "names", "joined", "count", "switch", "rates"]


@dataclass(frozen=True)
class Flag:
    """A study key that has a flag, and how the flag's value is written."""

    key: str
    kind: FlagKind = "value"


# By argument of the Python interface; the command line writes hyphens for underscores.
FLAGS: dict[str, Flag] = {
    "data": Flag("data.source"),
    "label": Flag("data.label"),
    "group": Flag("data.group", "joined"),
    "unit": Flag("data.unit"),
    "features": Flag("data.features", "names"),
    "drop": Flag("data.drop", "names"),
    "members": Flag("data.members", "count"),
    "nonmembers": Flag("data.nonmembers", "count"),
    "background": Flag("data.background", "count"),
    "population": Flag("data.population", "count"),
    "reference": Flag("data.reference", "count"),
    "validation": Flag("data.validation", "count"),
    "auxiliary": Flag("data.auxiliary", "count"),
    "coins": Flag("data.coins", "switch"),
    "canaries": Flag("canaries.count"),
    "canary_kind": Flag("canaries.kind"),
    "targets": Flag("statistics.targets"),
    "turns": Flag("statistics.turns"),
    "model": Flag("model.name"),
    "target": Flag("target.file"),
    "endpoint": Flag("target.endpoint"),
    "protocol": Flag("target.protocol"),
    "max_queries": Flag("target.max_queries"),
    "policy": Flag("target.policy"),
    "trust": Flag("target.trust", "names"),
    "train_rows": Flag("target.train_rows"),
    "outputs": Flag("outputs.file"),
    "shadow_outputs": Flag("outputs.shadow_file"),
    "shadow_models": Flag("shadow.count"),
    "budget": Flag("shadow.budget"),
    "cascade": Flag("shadow.cascade"),
    "allow_size_mismatch": Flag("shadow.allow_size_mismatch", "switch"),
    "engine": Flag("engine.name"),
    "ray_address": Flag("engine.ray.address"),
    "attacks": Flag("attacks.use", "names"),
    "temperature": Flag("attacks.temperature"),
    "fpr": Flag("statistics.fpr", "rates"),
    "fail_if": Flag("gate.rules"),
    "defences": Flag("defend.defences", "names"),
    "points": Flag("defend.points"),
    "max_accuracy_loss": Flag("defend.max_accuracy_loss"),
    "max_tpr": Flag("defend.max_tpr"),
    "redact": Flag("report.redact", "switch"),
    "redact_scores": Flag("report.redact_scores", "switch"),
    "device": Flag("run.device"),
    "seed": Flag("run.seed"),
    "out": Flag("run.out"),
}
ROLES = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary")


def study_keys(arguments: Mapping[str, object], read: Mapping[FlagKind, Callable[[Any], object]]) -> dict[str, object]:
    """The study keys that these arguments set, in the table's order; what has no flag or no value is left out.

    Args:
        read: how a value of each kind is read; a kind that is not there is taken as it is.
    """
    keys = {}
    for name, flag in FLAGS.items():
        value = arguments.get(name)
        if value is not None:
            value = read[flag.kind](value) if flag.kind in read else value
        if value is not None:
            keys[flag.key] = value
    return keys
