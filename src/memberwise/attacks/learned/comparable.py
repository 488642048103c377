"""Whether a target's answers, and a population's records, are such that what shadow models taught can carry over."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.learned.lessons import MOST_STAND_INS
from memberwise.signals.table import Answers, Signals

# Beyond this population records are of another kind than audited ones.
APART, TINY = 0.3, 1e-9
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


def answers_coarser(signals: Signals) -> bool:
    """The target answers far fewer different values than shadow models do: rounded, or a smaller ensemble."""
    shadows = shadows_of(signals.shadows)
    theirs = [_values(shadows, k) for k in range(min(shadows.models, MOST_STAND_INS))]
    return _values(signals.target, 0) < COARSER * float(np.median(theirs))


def _values(answers: Answers, k: int) -> int:
    return len(np.unique(np.round(answers.of_models(np.array([k])).phi[0, :, 0], DECIMALS)))
