"""Attacks that learn on shadow models, learned anew for a few of these in the target's place, for thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memberwise.assess.folds import LEARNING, pairs_a_fold
from memberwise.assess.turns import clusters_of, take_all_turns
from memberwise.attacks import Attack
from memberwise.attacks.run import ScoresAndTruth, stand_in_records, stand_in_sample
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Mask

# How many non-members' scores thresholds for a false-positive rate are to rest on, and on how few and many shadow
# models in the target's place.
ENOUGH_NONMEMBERS, STAND_INS = 4000, (2, 4)
# With fewer shadow models, those left would teach a weaker attack than the one whose thresholds are sought.
FEWEST = 8


def learned_anew(signals: Signals, attacks: Sequence[Attack], seeds: Seeds) -> dict[str, list[ScoresAndTruth]]:
    """The first of the attacks that learn on shadow models, learned anew for a few in the target's place.

    What is learned on the others serves both models of a pair, or all pairs of a fold (``Folds``): none of them is
    among these. By the attack's name, as ``shadow_scores``.
    """
    count = stand_ins_learned_for(len(signals.trained_on), signals.records)
    learning = [attack for name in LEARNING for attack in attacks if attack.name == name][:1]
    if not count or not learning:
        return {}
    signals = stand_in_sample(signals, seeds)
    models = np.argsort(clusters_of(signals.trained_on), kind="stable")[:count].tolist()  # both of a pair, and the next
    turns = take_all_turns(signals, learning, models, np.ones(signals.records, bool), seeds)
    return {one.attack: [_scored(*pair) for pair in zip(one.scores, one.member, strict=True)] for one in turns}


def _scored(scores: Floats, member: Mask) -> ScoresAndTruth:
    """The records ``(n,)`` that are scored."""
    rows = ~np.isnan(scores)
    return scores[rows], member[rows]


def stand_ins_learned_for(models: int, records: int) -> int:
    """How many of so many shadow models take the target's place, an even number; 0 where they are too few."""
    if models < FEWEST:
        return 0
    per_model = max(1, stand_in_records(models, records) // 2)
    return int(np.clip(2 * np.ceil(ENOUGH_NONMEMBERS / per_model / 2), *STAND_INS))


def times_learned_anew(models: int, records: int) -> int:
    """How often that is learned, of shadow models in pairs."""
    return -(-stand_ins_learned_for(models, records) // 2 // pairs_a_fold(models // 2))
