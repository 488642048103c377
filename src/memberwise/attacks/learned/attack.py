"""The learned attack: a classifier trained on shadow models in the target's place tells members from others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.learned.judge import judge
from memberwise.attacks.learned.lessons import Lessons, Rows, lessons_of, offline_columns
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Floats32, Ints


def learned(offline: bool = False) -> Score:
    """Probability of "member", learned on shadow models. HIGHER = MORE LIKELY A MEMBER. Ours: docs/learned.md.

    Shadow models take the target's place in turn; each and its complement are left out of the statistics, so that
    these tell nothing about what it saw. Its records' features train judges to tell what it saw from what it did not:
    as it ended, as it was at early checkpoints, and distorted, so that a target which was trained otherwise is none
    they never met. One judge reads the answers as they are, one scaled so that they spread over population records as
    the shadow models' do. The target's records get their features from the very same statistics; the log odds of both
    judges are averaged over the stand-ins. Assumes 4 shadow models or more, of which some trained on the record and
    some did not; more of them, full answers, and population records make it stronger. Trained on as many members as
    non-members, its threshold is 1/2. Records without a model on both sides, and all of them with fewer shadow models:
    NaN.

    Args:
        offline: features know the OUT models alone, as other offline attacks do; IN models only teach.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        taught = lessons_of(signals)
        member = np.concatenate([lesson.member for lesson in taught.lessons]) if taught.lessons else np.zeros(0, bool)
        if not member.any() or member.all():
            return np.full(signals.records, np.nan)
        columns = offline_columns(taught.names) if offline else np.arange(len(taught.names))
        total, times = np.zeros(signals.records), np.zeros(signals.records)
        for matched in (False, True) if taught.calibrated else (False,):
            x = _joined([lesson.rows for lesson in taught.lessons], matched, columns)
            log_odds = judge(x, member, rng)
            for question in taught.questions:
                scored = question.offline if offline else question.scored
                if scored.any():
                    total[scored] += question.weight * log_odds(_of(question.rows, matched)[scored][:, columns])
                    times += question.weight * scored
        return np.asarray(expit(total / np.where(times, times, np.nan)))

    return score


def is_calibrated(signals: Signals) -> bool:
    """The scores are probabilities that carry over to the target: population records tell on what scale it answers."""
    taught: Lessons = lessons_of(signals)
    return taught.calibrated


def _joined(parts: Sequence[Rows], matched: bool, columns: Ints) -> Floats32:
    return np.concatenate([_of(rows, matched)[:, columns] for rows in parts])


def _of(rows: Rows, matched: bool) -> Floats32:
    if not matched:
        return rows.raw
    if rows.matched is None:
        raise ValueError("these answers were not put on the shadow models' scale")
    return rows.matched


ATTACKS = [
    Attack(
        "learned",
        learned(),
        Needs(shadows="in+out", early=True),
        "this project, docs/learned.md",
        "A classifier trained on shadow models in the target's place, on how answers compare with the other models'.",
        threshold=0.5,
    ),
    Attack(
        "learned-offline",
        learned(offline=True),
        Needs(shadows="in+out", early=True),
        "this project, docs/learned.md",
        "As learned, but features know only the models that did not train on the record; the others only teach.",
        threshold=0.5,
    ),
]
