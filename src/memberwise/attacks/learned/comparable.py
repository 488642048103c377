"""Whether a target's answers, and a population's records, are such that what shadow models taught can carry over."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.learned.lean import true_class_alone
from memberwise.attacks.learned.lessons import MOST_STAND_INS
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Ints

# Beyond this population records are of another kind than audited ones.
APART, TINY = 0.3, 1e-9
# By so much a target's population answers may differ from the shadow models', and from so much on they are another's.
ALIKE, UNLIKE = 0.05, 0.15
# Answers are coarser with fewer than this share of the values that shadow models answer, told apart to these decimals.
COARSER, DECIMALS = 0.5, 4


def population_apart(signals: Signals) -> bool:
    """Shadow models answer population records otherwise than audited ones that they did not train on either.

    By the mean of phi, in its spreads, or the log of its spread, by ``APART`` or more in the mean over models.
    """
    world, shadows, apart = signals.population_shadows, shadows_of(signals.shadows), []
    for k in range(min(shadows.models, MOST_STAND_INS)):
        outside, one = signals.trained_on[k] == 0, np.array([k])
        if world is not None and outside.any():
            here, there = shadows.of_models(one).phi[0, outside, 0], world.of_models(one).phi[0, :, 0]
            spreads = here.std() + TINY, there.std() + TINY
            apart.append([(there.mean() - here.mean()) / spreads[0], np.log(spreads[1] / spreads[0])])
    return bool(apart) and bool((np.abs(np.mean(apart, 0)) > APART).any())


def trained_alike(signals: Signals, population: Ints) -> float:
    """How far nothing contradicts that the target was trained as the shadow models: 1, nothing; 0, too much.

    By the mean of phi over population records, in the shadow models' spreads, and the log of its spread, each against
    the shadow models' mean. Whichever is further off counts: up to ``ALIKE`` 1, from ``UNLIKE`` on 0, straight between.

    Args:
        population: ``(z,)`` positions of the population records that are read.
    """
    target, shadows = signals.population_target, signals.population_shadows
    if target is None or shadows is None:
        return 0.0
    of_target, of_shadows = (
        true_class_alone(answers).of_records(population).phi[:, :, 0] for answers in (target, shadows)
    )
    spreads = of_shadows.std(1) + TINY
    level = (of_target.mean() - of_shadows.mean()) / spreads.mean()
    spread = np.log(of_target.std() + TINY) - np.log(spreads).mean()
    apart = max(abs(level), abs(spread))
    return float(np.clip((UNLIKE - apart) / (UNLIKE - ALIKE), 0, 1)) if np.isfinite([level, spread]).all() else 0.0


def answers_coarser(signals: Signals) -> bool:
    """The target answers far fewer different values than shadow models do: rounded, or a smaller ensemble."""
    shadows = shadows_of(signals.shadows)
    theirs = [_values(shadows, k) for k in range(min(shadows.models, MOST_STAND_INS))]
    return _values(signals.target, 0) < COARSER * float(np.median(theirs))


def _values(answers: Answers, k: int) -> int:
    return len(np.unique(np.round(answers.of_models(np.array([k])).phi[0, :, 0], DECIMALS)))
