"""The learned attack: a classifier trained on shadow models in the target's place tells members from others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from memberwise.attacks.attack import Attack, Needs, Score
from memberwise.attacks.learned.features import matrix, sides_of
from memberwise.attacks.learned.judge import judge
from memberwise.signals.leave_one_out import in_targets_place
from memberwise.signals.table import Signals

# With fewer shadow models too few are left once one and its complement stand aside.
FEWEST_MODELS = 6
# So many shadow models take the target's place, fewer where fewer have this many rows; so many rows train the judge.
MOST_STAND_INS = 16
MOST_ROWS = 200_000


def learned(offline: bool = False) -> Score:
    """Probability of "member", learned on shadow models. HIGHER = MORE LIKELY A MEMBER. Ours: docs/learned.md.

    Shadow models take the target's place in turn; each and its complement are left out of the statistics, so that
    these tell nothing about what it saw. Its records' features (``features.features``) train a judge to tell what it
    saw from what it did not. The target's records get their features from the very same statistics, once for each
    stand-in, and the judge's log odds are averaged. Assumes 6 shadow models or more, of which some trained on the
    record and some did not; more of them make it stronger. Trained on as many members as non-members, its threshold
    is 1/2. Records without a model on both sides, and all of them with fewer shadow models: NaN.

    Args:
        offline: features know the OUT models alone, as other offline attacks do; IN models only teach.
    """

    def score(signals: Signals, rng: np.random.Generator) -> NDArray[np.float64]:
        models, records = signals.trained_on.shape
        if models < FEWEST_MODELS:
            return np.full(records, np.nan)
        lean = replace(signals, population_target=None, population_shadows=None)
        stand_ins = min(models, int(np.clip(MOST_ROWS // records, FEWEST_MODELS, MOST_STAND_INS)))
        taught, member, asked = [], [], []
        for k in range(stand_ins):
            stand_in = in_targets_place(lean, k, rng)
            table = stand_in.signals
            sides = sides_of(table, offline)
            if sides is None:
                continue
            both = table.is_in.any(0) & table.is_out.any(0)
            rows = some(stand_in.evaluated & both, MOST_ROWS // stand_ins, rng)
            taught.append(matrix(table.target, *sides, signals.labels)[rows])
            member.append(stand_in.member[rows])
            scored = table.is_out.any(0) if offline else both
            asked.append((scored, matrix(signals.target, *sides, signals.labels)[scored]))
        truth = np.concatenate(member) if member else np.zeros(0, bool)
        if not truth.any() or truth.all():
            return np.full(records, np.nan)
        log_odds = judge(np.concatenate(taught), truth, rng)
        total, times = np.zeros(records), np.zeros(records)
        for scored, x in asked:
            total[scored] += log_odds(x)
            times += scored
        return np.asarray(expit(total / np.where(times, times, np.nan)))

    return score


def some(allowed: NDArray[np.bool_], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """At most so many of the allowed positions, at random."""
    rows = np.flatnonzero(allowed)
    return rows if rows.size <= most else rng.choice(rows, most, replace=False)


ATTACKS = [
    Attack(
        "learned",
        learned(),
        Needs(shadows="in+out"),
        "this project, docs/learned.md",
        "A classifier trained on shadow models in the target's place, on how answers stand to those of the others.",
        threshold=0.5,
    ),
    Attack(
        "learned-offline",
        learned(offline=True),
        Needs(shadows="in+out"),
        "this project, docs/learned.md",
        "As learned, on how answers stand to those of models without the record alone.",
        threshold=0.5,
    ),
]
