"""Scores of models in turn, on disk: a block a model, there whole or not at all, so that none is computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np

from memberwise.attacks import Attack
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.store.blocks import BlockStore, block_key
from memberwise.study.entrypoint import code_hash
from memberwise.types.arrays import Array, Floats, Mask
from memberwise.types.version import __version__

# What a turn does not depend on: the target is another model, and groups only divide the records.
APART = frozenset({"target", "population_target", "groups", "turns"})
CODE = "code:"


class KeptTurns:
    """The turns of one table of signals, in a folder.

    They are known by a hash of all that they depend on: the table without its target, the records that count, the seed,
    the version, and for each attack its code.

    Args:
        folder: ``turns/`` of a run folder; made when the first turn is kept.
        evaluated: ``(n,)`` the records that figures are about.
    """

    def __init__(self, folder: Path, signals: Signals, evaluated: Mask, seeds: Seeds) -> None:
        self._store, self._records = BlockStore(folder), signals.records
        self._key = block_key(
            version=__version__, table=table_hash(signals), evaluated=_digest(evaluated), seed=seeds.root
        )

    def of_model(self, k: int, attacks: Sequence[Attack]) -> dict[str, Floats]:
        """What is kept of shadow model ``k``'s turn: ``(n,)`` scores by attack, where the attack's code is the same."""
        arrays = self._arrays(k)
        return {
            attack.name: arrays[attack.name]
            for attack in attacks
            if attack.name in arrays and str(arrays[CODE + attack.name]) == code_hash(attack.score)
        }

    def keep(self, k: int, attacks: Sequence[Attack], scores: Mapping[str, Floats]) -> None:
        """Keep a model's ``(n,)`` scores beside those of other attacks that are there."""
        codes = {CODE + attack.name: np.array(code_hash(attack.score)) for attack in attacks}
        self._store.save(_name(k), [self._of(k)], [k], {**self._arrays(k), **codes, **scores})

    def table(self, models: int) -> dict[str, Floats]:
        """All that is kept: ``(m, n)`` scores by attack, a row for each shadow model, NaN where it took no turn."""
        table: dict[str, Floats] = {}
        for k in range(models):
            for name, row in self._arrays(k).items():
                if not name.startswith(CODE):
                    table.setdefault(name, np.full((models, self._records), np.nan))[k] = row
        return table

    def _arrays(self, k: int) -> dict[str, Array]:
        arrays, _ = self._store.load(_name(k), self._of(k))
        return arrays or {}

    def _of(self, k: int) -> str:
        return block_key(turn=k, key=self._key)


def table_hash(signals: Signals) -> str:
    """SHA-256 of everything in a table that a shadow model's turn depends on."""
    found = hashlib.sha256()
    _take_in(found, signals, "")
    return found.hexdigest()


def _take_in(found: hashlib._Hash, part: object, place: str) -> None:
    """Hash a part by its fields, arrays by their bytes."""
    if isinstance(part, np.ndarray):
        found.update(f"{place} {part.dtype} {part.shape}\n".encode())
        found.update(_bytes(part))
    elif is_dataclass(part):
        for one in fields(part):
            if place or one.name not in APART:
                _take_in(found, getattr(part, one.name), f"{place}.{one.name}")
    elif isinstance(part, Mapping):
        for name in sorted(part):
            _take_in(found, part[name], f"{place}[{name}]")
    else:
        found.update(f"{place} {part!r}\n".encode())


def _bytes(values: Array) -> bytes | memoryview:
    if values.dtype.hasobject:
        return repr(values.tolist()).encode("utf-8", "surrogatepass")
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data if values.size else b""


def _digest(values: Array) -> str:
    return hashlib.sha256(_bytes(values)).hexdigest()


def _name(k: int) -> str:
    return f"turn-{k:05d}"
