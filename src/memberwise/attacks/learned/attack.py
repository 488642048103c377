"""The learned attack: a classifier trained on shadow models in the target's place tells members from others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.learned.judge import judge
from memberwise.attacks.learned.lessons import Lessons, lessons_of, offline_columns, tells_scale
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
        return scores_of(signals, taught, judges_of(taught, offline, rng))

    return score


@dataclass(frozen=True)
class Judge:
    """Tells members' rows from others'.

    Attributes:
        matched: it reads answers on the shadow models' scale. columns: positions of the features that it reads.
        log_odds: of rows ``(k, f)``.
    """

    matched: bool
    offline: bool
    columns: Ints
    log_odds: Callable[[Floats32], Floats]


def judges_of(taught: Lessons, offline: bool, rng: np.random.Generator) -> list[Judge]:
    """The judges trained on a table's lessons; none where the lessons are of one side only.

    One for each scale; offline the matched scale alone, where there is one.
    """
    member = np.concatenate([lesson.member for lesson in taught.lessons]) if taught.lessons else np.zeros(0, bool)
    if not member.any() or member.all():
        return []
    columns = offline_columns(taught.names) if offline else np.arange(len(taught.names))
    judges = []
    scales = (False, True) if taught.calibrated else (False,)
    for matched in scales[-1:] if offline else scales:
        x = np.concatenate([lesson.rows.of(matched)[:, columns] for lesson in taught.lessons])
        judges.append(Judge(matched, offline, columns, judge(x, member, rng)))
    return judges


def is_calibrated(signals: Signals) -> bool:
    """Enough population records, which nobody trained on, tell on what scale the target answers."""
    return tells_scale(signals)


def scores_of(signals: Signals, taught: Lessons, judges: Sequence[Judge]) -> Floats:
    """``(n,)`` probabilities of "member" for a target beside the shadow models that taught.

    The mean of the judges' log odds, over the shadow models left too. HIGHER = MORE LIKELY A MEMBER.
    """
    total, times = np.zeros(signals.records), np.zeros(signals.records)
    for one in judges if taught.reader is not None else ():
        for left in taught.left:
            scored = left.outside if one.offline else left.scored
            if scored.any():
                rows = taught.reader.question(signals, left, one.matched)  # type: ignore[union-attr]
                total[scored] += left.stand_ins * one.log_odds(rows[scored][:, one.columns])
                times += left.stand_ins * scored
    return np.asarray(expit(total / np.where(times, times, np.nan)))


ATTACKS = [
    Attack(
        "learned",
        learned(),
        Needs(shadows="in+out", early=True),
        "this project, docs/learned.md",
        "A classifier trained on shadow models in the target's place, on how answers compare with the other models'.",
        threshold=0.5,
        calibrated=is_calibrated,
    ),
    Attack(
        "learned-offline",
        learned(offline=True),
        Needs(shadows="in+out", early=True),
        "this project, docs/learned.md",
        "As learned, but features know only the models that did not train on the record; the others only teach.",
        threshold=0.5,
        calibrated=is_calibrated,
    ),
]
