"""Attacks that train on shadow models, on models in turn: taught once for each fold of pairs, on all the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from memberwise.attacks import Attack
from memberwise.attacks.run import score
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_targets
from memberwise.signals.locked import read_only
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Ints

# Attacks that learn on shadow models, and have a threshold of their own.
LEARNING = ("learned", "learned-offline")
# They do it so many times at most.
FOLDS = 16


class Folds:
    """Pairs of shadow models that are left out together, so that what is learned from the others serves each of them.

    At most ``FOLDS`` of them, of as many pairs each: of 16 pairs or more at least seven eighths remain. A model without
    a complement is in none. Which models take a turn, and in which order, changes nothing.

    Args:
        clusters: ``(m,)`` models of one number are complementary.
    """

    def __init__(self, signals: Signals, clusters: Ints, seeds: Seeds) -> None:
        self._signals, self._seeds = signals, seeds
        pairs = np.flatnonzero(np.bincount(clusters) == 2)
        size = pairs_a_fold(len(pairs))
        place = {int(cluster): i // size for i, cluster in enumerate(pairs)}
        self._number = np.array([place.get(int(cluster), -1) for cluster in clusters])
        self._taught: dict[tuple[str, int], Callable[[Signals], Floats]] = {}
        self._stand_ins: dict[int, Signals] = {}

    def number_of(self, k: int) -> int:
        """Of model ``k``'s fold; -1: it is in none."""
        return int(self._number[k])

    def turn(self, attack: Attack, k: int) -> Floats | None:
        """Scores ``(n,)`` of model ``k`` of a fold by an attack that trains on the models outside; None: skipped."""
        if k not in self._stand_ins:
            models = [int(model) for model in np.flatnonzero(self._number == self._number[k])]
            tables = [stand_in.signals for stand_in in as_targets(self._signals, models)]
            self._stand_ins, self._taught = dict(zip(models, tables, strict=True)), {}
        # Full answers may be kept of the first models alone, and what is learned from them needs the target's too.
        first = next(one for one, table in self._stand_ins.items() if _holds(table) == _holds(self._stand_ins[k]))
        rng = self._seeds.rng(f"shadow attack:{attack.name}", first)

        def scored(signals: Signals, rng: np.random.Generator) -> Floats:
            key = attack.name, first
            if key not in self._taught and attack.teach is not None:
                self._taught[key] = attack.teach(read_only(self._stand_ins[first]), rng)
            return self._taught[key](signals)

        return score(self._stand_ins[k], attack, rng, scored)[0]


def pairs_a_fold(pairs: int) -> int:
    """How many of so many pairs are left out together."""
    return max(1, -(-pairs // FOLDS))


def _holds(table: Signals) -> list[bool]:
    return [answers is not None and answers.vectors is not None for answers in (table.target, table.population_target)]
