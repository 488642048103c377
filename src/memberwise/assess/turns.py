"""Every shadow model in turn in the target's place, its complement left out, scored by attacks that refit each time."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memberwise.assess.folds import LEARNING, Folds
from memberwise.assess.kept_turns import KeptTurns
from memberwise.attacks import Attack
from memberwise.attacks.request import FAMILY
from memberwise.attacks.run import score
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import StandIn, as_target
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Ints, Mask

# Models times shadow models times records that are gone through by default: half a minute on two cores.
COST = 64 * 64 * 50_000
# So many models at least, in pairs: fewer say nothing about another training.
FEWEST = 8


@dataclass(frozen=True)
class Turns:
    """One attack on every model in turn.

    Attributes:
        attack: its name.
        scores: ``(k, n)``, NaN where a record is not scored. member: ``(k, n)`` who trained on what.
        clusters: ``(k,)`` models of one number were trained on complementary halves.
    """

    attack: str
    scores: Floats
    member: Mask
    clusters: Ints


def clusters_of(trained_on: NDArray[np.int8]) -> Ints:
    """``(m,)`` models of one number are complementary: what one trained on the other did not; each other by itself.

    ``trained_on``: ``(m, n)``, 1 IN, 0 OUT, -1 neither.
    """
    varies = _seen(trained_on, 1) & _seen(trained_on, 0)
    numbers, alone = np.arange(len(trained_on)), defaultdict[bytes, list[int]](list)
    for k, row in enumerate(trained_on):
        half = row[varies]
        if (half < 0).any():
            continue
        twins = alone[_digest(half == 0)]
        if twins:
            numbers[k] = twins.pop(0)
        else:
            alone[_digest(half == 1)].append(k)
    return np.unique(numbers, return_inverse=True)[1]


def _seen(trained_on: NDArray[np.int8], value: int) -> Mask:
    """``(n,)`` whether some model's row ``(m, n)`` has the value, a model at a time."""
    seen = np.zeros(trained_on.shape[1], bool)
    for row in trained_on:
        seen |= row == value
    return seen


def _digest(half: Mask) -> bytes:
    """Of ``(n,)`` records: equal for equal halves, so that thousands of models are compared in one pass."""
    return hashlib.blake2b(np.packbits(half).tobytes(), digest_size=16).digest()


def attacks_in_turn(attacks: Sequence[Attack], family: Sequence[str], turns: int | str | None) -> list[Attack]:
    """Those of the family that ran, in the family's order.

    One that learns on shadow models, and would at each turn, only where it is asked for (``turns`` is "all" or a
    number); one that asks further questions never, as few shadow models are asked them, and one whose rounds are
    trained on what was found out about the target never.
    """
    chosen = [
        attack
        for attack in attacks
        if attack.name in family
        and attack.needs.extra is None
        and not attack.needs.rounds
        and (turns is not None or attack.name not in LEARNING)
    ]
    order = [*FAMILY, *(attack.name for attack in chosen if attack.name not in FAMILY)]
    return sorted(chosen, key=lambda attack: order.index(attack.name))


def models_in_turn(signals: Signals, turns: int | str | None) -> list[int]:
    """Numbers of the shadow models that take a turn, in pairs from the first: all, or as many as are asked for.

    By default all, where that goes through at most ``COST`` numbers for an attack; else as many pairs as it allows.
    """
    models = len(signals.trained_on)
    if isinstance(turns, int):
        return list(range(min(models, turns)))
    if turns == "all":
        return list(range(models))
    affordable = int(COST / max(1, models * signals.records)) // 2 * 2
    return list(range(min(models, affordable)))


def take_all_turns(
    signals: Signals,
    attacks: Sequence[Attack],
    models: Sequence[int],
    evaluated: Mask,
    seeds: Seeds,
    kept: KeptTurns | None = None,
) -> list[Turns]:
    """Each attack on each of these models; those left out that can score none of them.

    A stand-in meets all attacks, which share its statistics. Attacks that train on shadow models do so once a fold
    (``Folds``).

    Args:
        evaluated: ``(n,)`` the records that figures are about.
        kept: turns on disk: what is there is read, what is not is computed and kept, a model at a time.
    """
    scores = {attack.name: np.full((len(models), signals.records), np.nan) for attack in attacks}
    all_clusters = clusters_of(signals.trained_on)
    folds, stand_in = Folds(signals, all_clusters, seeds), None
    for place, k in sorted(enumerate(models), key=lambda turn: folds.number_of(turn[1])):
        found = {} if kept is None else kept.of_model(k, attacks)
        missing = [attack for attack in attacks if attack.name not in found]
        if missing:
            if stand_in is not None and k not in stand_in.left_out:
                stand_in = None  # before the next takes its memory
            stand_in = as_target(signals, k, seeds.rng("leave one out", k), stand_in)
            found |= _one_turn(stand_in, missing, k, evaluated, seeds, folds)
            if kept is not None:
                kept.keep(k, attacks, found)
        for name, row in found.items():
            scores[name][place] = row
    member, clusters = (signals.trained_on == 1)[list(models)], all_clusters[list(models)]
    turns = [Turns(name, rows, member, clusters) for name, rows in scores.items()]
    return [one for one in turns if not np.isnan(one.scores).all(1).any()]


def _one_turn(
    stand_in: StandIn, attacks: Sequence[Attack], k: int, evaluated: Mask, seeds: Seeds, folds: Folds
) -> dict[str, Floats]:
    """Scores ``(n,)`` of shadow model ``k`` in the target's place, by attack; NaN where a record is not scored."""
    usable, rows = stand_in.evaluated & evaluated, {}
    for attack in attacks:
        if attack.teach is not None and folds.number_of(k) >= 0:
            row = folds.turn(attack, k)
        else:
            row, _ = score(stand_in.signals, attack, seeds.rng(f"shadow attack:{attack.name}", k))
        rows[attack.name] = np.full(len(usable), np.nan) if row is None else np.where(usable, row, np.nan)
    return rows
