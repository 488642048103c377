"""The learned attack: a classifier trained on shadow models in the target's place tells members from others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.learned.carried import Carried, carried_over
from memberwise.attacks.learned.comparable import answers_coarser, population_apart
from memberwise.attacks.learned.judge import judge
from memberwise.attacks.learned.lean import DRAWS, FEWEST_POPULATION, tells_scale
from memberwise.attacks.learned.lessons import Lessons, lessons_of, members_of, offline_columns
from memberwise.signals.table import Signals, once_a_table
from memberwise.types.arrays import Floats, Floats32, Ints


def learned(offline: bool = False) -> Score:
    """Probability of "member", learned on shadow models. HIGHER = MORE LIKELY A MEMBER. Ours: docs/learned.md.

    Shadow models take the target's place in turn; each and its complement are left out of the statistics, so that
    these tell nothing about what it saw. Its records' features train judges to tell what it saw from what it did not:
    as it ended, as it was at early checkpoints, and distorted, so that a target which was trained otherwise is none
    they never met. One judge reads the answers as they are, one scaled so that they spread over population records as
    the shadow models' do. The target's records get their features from the very same statistics; the log odds of both
    judges are averaged over the stand-ins, and drawn together as far as the target's population records, which are no
    members, demand (``carried_over``). Assumes 4 shadow models or more, of which some trained on the record and some
    did not; more of them, full answers, and population records make it stronger. Trained on as many members as
    non-members, its threshold is 1/2. Records without a model on both sides, and all of them with fewer shadow models:
    NaN.

    Args:
        offline: features know the OUT models alone, as other offline attacks do; IN models only teach.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        taught = lessons_of(signals)
        judges = offline_judges(signals) if offline else judges_of(taught, False, rng)
        return scores_of(signals, taught, judges, carried_here(signals))

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


@once_a_table
def offline_judges(signals: Signals) -> list[Judge]:
    """The judges that know the OUT models alone, which both attacks need."""
    return judges_of(lessons_of(signals), True, np.random.default_rng(DRAWS))


def carried_of(signals: Signals, taught: Lessons, judges: Sequence[Judge]) -> Carried:
    """How the log odds carry over to a target, by ``judges`` that know the OUT models alone: so do population records.

    As they are where there are too few of these, or of another kind than the audited ones.
    """
    if not taught.calibrated or taught.reader is None or not judges or population_apart(signals):
        return Carried()
    rng = np.random.default_rng(DRAWS)
    audited = _log_odds(signals, taught, judges)
    questions = [taught.reader.known_nonmembers(signals, left, judges[0].matched, rng) for left in taught.left]
    population = np.average(
        [judges[0].log_odds(rows[:, judges[0].columns]) for rows in questions],
        axis=0,
        weights=[left.stand_ins for left in taught.left],
    )
    audited = audited[~np.isnan(audited)]
    return carried_over(audited, population, members_of(signals)) if len(audited) else Carried()


@once_a_table
def carried_here(signals: Signals) -> Carried:
    """How what a table's shadow models teach carries over to its target."""
    return carried_of(signals, lessons_of(signals), offline_judges(signals))


def uncalibrated(signals: Signals) -> str:
    """Why the scores are no probabilities of membership here; empty where nothing speaks against it."""
    if not tells_scale(signals):
        known = signals.population_target
        return (
            f"that they carry over from shadow models to the target is seen on {FEWEST_POPULATION} population records "
            "or more that no model trained on, answered by all, and there are "
            f"{0 if known is None else known.records}. --population 1000"
        )
    if population_apart(signals):
        return (
            "shadow models answer population records otherwise than audited records that they did not train on, so "
            "that they cannot tell whether what shadow models taught carries over to the target. Take both from the "
            "same data"
        )
    if answers_coarser(signals):
        return (
            "the target answers far fewer different values than the shadow models do, as if rounded, and what these "
            "taught is about finer ones. Give shadow models that answer as the target does"
        )
    carried = carried_here(signals)
    if carried.contradicted:
        return (
            "the target's answers about population records contradict what shadow models taught (log likelihood ratio "
            f"{carried.evidence:.0f}); scores were drawn together until they agree, which is a repair. Give shadow "
            "models the target's own recipe and architecture"
        )
    return ""


def is_calibrated(signals: Signals) -> bool:
    """Nothing speaks against reading the scores as probabilities (``uncalibrated``)."""
    return not uncalibrated(signals)


def scores_of(signals: Signals, taught: Lessons, judges: Sequence[Judge], carried: Carried) -> Floats:
    """``(n,)`` probabilities of "member" for a target beside the shadow models that taught.

    HIGHER = MORE LIKELY A MEMBER.
    """
    return np.asarray(expit(carried.of(_log_odds(signals, taught, judges))))


def _log_odds(signals: Signals, taught: Lessons, judges: Sequence[Judge]) -> Floats:
    """The mean of the judges' log odds, over the shadow models left too."""
    total, times = np.zeros(signals.records), np.zeros(signals.records)
    for one in judges if taught.reader is not None else ():
        for left in taught.left:
            scored = left.outside if one.offline else left.scored
            if scored.any():
                rows = taught.reader.question(signals, left, one.matched)  # type: ignore[union-attr]
                total[scored] += left.stand_ins * one.log_odds(rows[scored][:, one.columns])
                times += left.stand_ins * scored
    return np.asarray(total / np.where(times, times, np.nan))


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
