"""Collectors: what asks models more than one question a record. One file a collector, one line here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict

from memberwise.signals.collectors.boundary import BoundaryDistances
from memberwise.signals.collectors.gradient import GradientNorms
from memberwise.signals.collectors.random_inputs import RandomInputs
from memberwise.signals.collectors.votes import Augmented, Noised
from memberwise.signals.questions import Collector
from memberwise.study.schema import AttacksConfig

# What an attacker needs for each, in words.
EXTRAS = {part.name: part.words for part in (Augmented, Noised, BoundaryDistances, RandomInputs, GradientNorms)}


def collectors(names: Collection[str], study: AttacksConfig) -> tuple[Collector, ...]:
    """The collectors of these names, with the study's parameters, in a fixed order."""
    every: list[Collector] = [
        Augmented(),
        Noised(),
        BoundaryDistances(study.boundary_queries, study.boundary_records),
        RandomInputs(),
        GradientNorms(),
    ]
    return tuple(collector for collector in every if collector.name in names)


def collector_key(collector: Collector) -> str:
    """Under which its answers are kept in a block: other parameters, another key."""
    parameters = json.dumps(asdict(collector), sort_keys=True)  # type: ignore[call-overload]
    return hashlib.sha256(f"{collector.name} {parameters}".encode()).hexdigest()[:16]


__all__ = ["EXTRAS", "collector_key", "collectors"]
