"""Which lower bound on epsilon an audit can state, by what its study drew before the run."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from memberwise.assess.figures import AttackEvaluation, StandInScores
from memberwise.errors import Note
from memberwise.signals.table import Signals
from memberwise.statistics import (
    EpsilonBound,
    choose_guesses,
    epsilon_of_records,
    fixed_guesses,
    many_runs_bound,
    one_run_bound,
)
from memberwise.statistics.thresholds import OPTIMISTIC
from memberwise.study.rules import FEWEST_RUNS, bounds_epsilon
from memberwise.study.schema import Study
from memberwise.types.arrays import Mask

# Standard deviations from a half beyond which fair coins are not believed.
UNLIKELY = 4.5


def coin_notes(study: Study, member: Mask) -> list[Note]:
    """A warning where members are said to be drawn by coins and no coins would give so few or so many.

    ``member``: ``(n,)`` the truth.
    """
    members, n = int(member.sum()), len(member)
    if not study.data.coins or abs(members - n / 2) <= UNLIKELY * sqrt(n) / 2:
        return []
    return [
        Note(
            "uneven-coins",
            f"{members:,} of {n:,} records are members, which fair coins do not give: the bound on epsilon rests on "
            "independent fair coins and does not hold here",
        )
    ]


def epsilon_part(
    signals: Signals, main: AttackEvaluation, pairs: StandInScores, member: Mask, evaluated: Mask, study: Study
) -> EpsilonBound | None:
    """The ``epsilon`` of ``result.json``: one run by coins, else one canary in many runs, else descriptive.

    ``member``, ``evaluated``: ``(n,)``, the truth, and which records the figures are about.

    Args:
        main: the headline. pairs: an attack's scores on shadow models in the target's place, on which the numbers of
            guesses are chosen.
    """
    confidence, delta = study.statistics.confidence, study.statistics.delta
    if bounds_epsilon(study) and study.data.coins:
        coins = int((~np.isnan(main.scores)).sum())
        choices = fixed_guesses(coins)
        if pairs:
            least = min(len(scores) for scores, _ in pairs)
            top, bottom = choose_guesses(pairs, confidence=confidence, delta=delta)
            choices = [(round(top * coins / least), round(bottom * coins / least))]
        return one_run_bound(main.scores, member, choices, confidence=confidence, delta=delta)
    shadows = signals.shadows
    if bounds_epsilon(study) and shadows is not None and shadows.models >= FEWEST_RUNS:
        answered = shadows.correct.mean(2) if np.isnan(shadows.log_p).any() else shadows.phi.mean(2)
        bound, record = many_runs_bound(
            np.asarray(answered, np.float64)[:, evaluated],
            signals.is_in[:, evaluated],
            confidence=confidence,
            delta=delta,
        )
        return replace(bound, record=int(signals.index[evaluated][record]))
    if main.threshold.chosen_on == OPTIMISTIC:
        return None
    return epsilon_of_records(main.scores, member, main.threshold, confidence=confidence, delta=delta)
