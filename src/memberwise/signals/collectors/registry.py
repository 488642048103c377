"""Collectors: what asks models more than one question a record. One file a collector, one line here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from memberwise.errors import StudyError
from memberwise.registry import Registry
from memberwise.signals.collectors.boundary import BoundaryDistances
from memberwise.signals.collectors.gradient import GradientNorms
from memberwise.signals.collectors.near import NearCopies
from memberwise.signals.collectors.own import parameters_of
from memberwise.signals.collectors.random_inputs import RandomInputs
from memberwise.signals.collectors.votes import Augmented, Noised
from memberwise.signals.questions import Collector
from memberwise.study.entrypoint import code_hash
from memberwise.study.schema import AttacksConfig

_BUILT_IN: tuple[type[Collector], ...] = (
    Augmented,
    Noised,
    NearCopies,
    BoundaryDistances,
    RandomInputs,
    GradientNorms,
)
COLLECTORS: Registry[type[Collector]] = Registry(
    "collector", ((part.name, part) for part in _BUILT_IN), form="a collector itself"
)
# What an attacker needs for each, in words.
EXTRAS = {name: part.words for name, part in COLLECTORS.items()}


def collectors(needed: Iterable[str | Collector], study: AttacksConfig) -> tuple[Collector, ...]:
    """The collectors that attacks need, each once: built-in ones by name, with the study's parameters and in a fixed
    order, then the attacks' own.

    Raises:
        StudyError: two that differ have the same name.
    """
    names: set[str] = set()
    objects: dict[str, Collector] = {}
    for one in needed:
        if isinstance(one, str):
            names.add(one)
        elif collector_key(objects.setdefault(one.name, one)) != collector_key(one):
            raise StudyError(
                f"two collectors are called {one.name}",
                expected="a name for each, or the same code and parameters",
                found=f"{objects[one.name]!r} and {one!r}",
                where="Needs(extra=...)",
            )
    every: list[Collector] = [
        Augmented(),
        Noised(),
        NearCopies(),
        BoundaryDistances(study.boundary_queries, study.boundary_records),
        RandomInputs(),
        GradientNorms(),
    ]
    return (*(collector for collector in every if collector.name in names), *objects.values())


def is_built_in(collector: Collector) -> bool:
    """One of the collectors above, and none of the user's own."""
    return COLLECTORS.get(collector.name) is type(collector)


def collector_key(collector: Collector) -> str:
    """Under which its answers are kept in a block: other parameters (of one's own also other code), another key."""
    parameters = json.dumps(parameters_of(collector), sort_keys=True)
    code = "" if is_built_in(collector) else f" {code_hash(type(collector))}"
    return hashlib.sha256(f"{collector.name} {parameters}{code}".encode()).hexdigest()[:16]


__all__ = ["COLLECTORS", "EXTRAS", "collector_key", "collectors", "is_built_in"]
