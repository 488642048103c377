"""The learned attack: a classifier trained on shadow models in the target's place tells members from others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from memberwise.attacks.base import Attack, Needs, Score, Teach
from memberwise.attacks.learned.carried import Carried, carried_over
from memberwise.attacks.learned.comparable import answers_coarser, population_apart, trained_alike
from memberwise.attacks.learned.judge import judge
from memberwise.attacks.learned.lean import DRAWS, FEWEST_POPULATION, known_nonmembers, tells_scale
from memberwise.attacks.learned.lessons import Lessons, lessons_of
from memberwise.attacks.learned.reader import References, View, members_of
from memberwise.attacks.learned.relative import OFFLINE
from memberwise.signals.once import once_a_table
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Floats32, Ints

# So much the judge of levels weighs at most, of 1. Chosen on Adult and MNIST (docs/learned.md).
MOST_OF_LEVELS = 0.5


def learned(offline: bool = False) -> Teach:
    """Probability of "member", learned on shadow models. HIGHER = MORE LIKELY A MEMBER. Ours: docs/learned.md.

    Shadow models take the target's place in turn; each and its complement are left out of the statistics, so that
    these tell nothing about what it saw. Its records' features train judges to tell what it saw from what it did not:
    as it ended, as it was at early checkpoints, and distorted, so that a target which was trained otherwise is none
    they never met. One judge reads the answers as they are, one scaled so that they spread over population records as
    the shadow models' do; one, which knows absolute levels and shadow models as they ended alone, counts where the
    target's population answers are like the shadow models' (``trained_alike``). The target's records get their features
    from the very same statistics; the judges' log odds are averaged over the stand-ins, and drawn together as far as
    the target's population records, which are no members, demand (``carried_over``). Assumes 4 shadow models or more,
    of which some trained on the record and some did not; more of them, full answers, and population records make it
    stronger. Trained on as many members as non-members, its threshold is 1/2. Records without a model on both sides,
    and all of them with fewer shadow models: NaN.

    Args:
        offline: features know the OUT models alone, as other offline attacks do; IN models only teach.

    Returns:
        What teaches on a table's shadow models, and gives the scores of any target beside them.
    """

    def teach(signals: Signals, rng: np.random.Generator) -> Callable[[Signals], Floats]:
        taught = taught_by(signals)
        judges = taught.offline_judges if offline else judges_of(taught.lessons, False, rng)
        return lambda target: scores_of(target, taught, judges)

    return teach


@dataclass(frozen=True)
class Judge:
    """Tells members' rows from others'.

    Attributes:
        view: the features' that it reads; columns: their positions. log_odds: of rows ``(k, f)``.
    """

    view: View
    offline: bool
    columns: Ints
    log_odds: Callable[[Floats32], Floats]


def judges_of(lessons: Lessons, offline: bool, rng: np.random.Generator) -> list[Judge]:
    """The judges trained on a table's lessons; none where the lessons are of one side only.

    One for each scale, and one for targets like the shadow models, which learns from these as they ended, on levels
    too; offline the matched scale alone, where there is one.
    """
    views: list[View] = ["raw", "matched"] if lessons.calibrated else ["raw"]
    views = views[-1:] if offline else [*views, "levels"] if lessons.tell_levels else views
    judges = []
    for view in views:
        taken = [lesson for lesson in lessons.lessons if view != "levels" or lesson.kind == "ended"]
        member = np.concatenate([lesson.member for lesson in taken]) if taken else np.zeros(0, bool)
        if not member.any() or member.all():
            return []
        width = taken[0].rows.of(view).shape[1]
        columns = offline_columns(lessons.names) if offline else np.arange(width)
        x = np.concatenate([lesson.rows.of(view)[:, columns] for lesson in taken])
        judges.append(Judge(view, offline, columns, judge(x, member, rng)))
    return judges


def offline_columns(names: Sequence[str]) -> Ints:
    """``(k,)`` positions, among the ``names``, of the features that know the OUT models alone."""
    known = OFFLINE | {f"all {name}" for name in ("out t", "out 1 - p", "out centre", "out spread", "out distance")}
    known |= {f"all {name}" for name in ("out z", "out p", "phi", "log p", "phi spread", "phi least")}
    return np.array([i for i, name in enumerate(names) if name in known], np.int64)


@dataclass(frozen=True, eq=False)
class Taught:
    """What both attacks have from a table's shadow models.

    Attributes:
        offline_judges: those that know the OUT models alone.
        beside_population: the lessons' references, as population records meet them; none where scores do not carry
            over by these.
    """

    lessons: Lessons
    offline_judges: list[Judge]
    beside_population: list[References]


@once_a_table
def taught_by(signals: Signals) -> Taught:
    """What the shadow models of a table teach about any target beside them."""
    lessons = lessons_of(signals)
    judges = judges_of(lessons, True, np.random.default_rng(DRAWS))
    if not lessons.calibrated or lessons.reader is None or not judges or population_apart(signals):
        return Taught(lessons, judges, [])
    rng = np.random.default_rng(DRAWS)
    return Taught(lessons, judges, [lessons.reader.beside_population(one, rng) for one in lessons.references])


@once_a_table
def carried_to(signals: Signals, taught: Taught) -> Carried:
    """How what was taught carries over to a table's target, by judges and features that know the OUT models alone.

    Such features population records have too. As taught where there are too few of these, or of another kind than the
    audited ones.
    """
    reader = taught.lessons.reader
    if reader is None or not taught.beside_population:
        return Carried()
    references, (one, *_) = taught.lessons.references, taught.offline_judges
    audited = _log_odds(signals, taught.lessons, taught.offline_judges)
    population = np.average(
        [
            one.log_odds(reader.known_nonmembers(signals, each, beside, one.view)[:, one.columns])
            for each, beside in zip(references, taught.beside_population, strict=True)
        ],
        axis=0,
        weights=[each.stand_ins for each in references],
    )
    audited = audited[~np.isnan(audited)]
    return carried_over(audited, population, members_of(signals)) if len(audited) else Carried()


def uncalibrated(signals: Signals) -> str:
    """Why the scores are no probabilities of membership here; empty where nothing speaks against it."""
    if not tells_scale(signals):
        known, world = known_nonmembers(signals), signals.population_target
        few = world is None or world.records < FEWEST_POPULATION
        return (
            f"that they carry over from shadow models to the target is seen on {FEWEST_POPULATION} population records "
            "or more that no model trained on, answered by all, and there are "
            f"{known}{'. --population 1000' if few else ''}"
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
    carried = carried_to(signals, taught_by(signals))
    if carried.contradicted:
        return (
            "the target's answers about population records contradict what shadow models taught (log likelihood ratio "
            f"{carried.evidence:.0f}); scores were drawn together until they agree, which is a repair. Give shadow "
            "models the target's own recipe and architecture"
        )
    return ""


def as_taught(signals: Signals, rng: np.random.Generator) -> Floats:
    """``(n,)`` log odds of "member" as shadow models taught, whether or not they carry over; NaN where not scored.

    HIGHER = MORE LIKELY A MEMBER.
    """
    lessons = lessons_of(signals)
    return _log_odds(signals, lessons, judges_of(lessons, False, rng))


def carried_over_to(signals: Signals) -> Carried:
    """How what a table's shadow models taught carries over to its target."""
    return carried_to(signals, taught_by(signals))


def is_calibrated(signals: Signals) -> bool:
    """Nothing speaks against reading the scores as probabilities (``uncalibrated``)."""
    return not uncalibrated(signals)


def scores_of(signals: Signals, taught: Taught, judges: Sequence[Judge]) -> Floats:
    """``(n,)`` probabilities of "member" for a target beside the shadow models that taught.

    HIGHER = MORE LIKELY A MEMBER.
    """
    log_odds = _log_odds(signals, taught.lessons, judges, _weight_of_levels(signals, taught))
    return np.asarray(expit(carried_to(signals, taught).of(log_odds)))


def _weight_of_levels(signals: Signals, taught: Taught) -> float:
    """What the judge of levels weighs for a target, of 1: a half where nothing says that it was trained otherwise."""
    reader = taught.lessons.reader
    if reader is None or reader.population is None or not taught.beside_population:
        return 0.0
    return MOST_OF_LEVELS * trained_alike(signals, reader.population)


def _log_odds(signals: Signals, lessons: Lessons, judges: Sequence[Judge], of_levels: float = 0.0) -> Floats:
    """The mean of the judges' log odds, over the references too; the judge of levels weighs ``of_levels`` of 1."""
    others = sum(one.view != "levels" for one in judges)
    has_levels = others < len(judges)
    total, times = np.zeros(signals.records), np.zeros(signals.records)
    for one in judges if lessons.reader is not None else ():
        weight = of_levels if one.view == "levels" else (1 - of_levels * has_levels) / others
        for references in lessons.references if weight else ():
            scored = references.outside if one.offline else references.scored
            if scored.any():
                rows = lessons.reader.question(signals, references, one.view)  # type: ignore[union-attr]
                total[scored] += weight * references.stand_ins * one.log_odds(rows[scored][:, one.columns])
                times += weight * references.stand_ins * scored
    return np.asarray(total / np.where(times, times, np.nan))


def _score_by(teach: Teach) -> Score:
    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        return teach(signals, rng)(signals)

    return score


def _attack(name: str, teach: Teach, summary: str) -> Attack:
    return Attack(
        name,
        _score_by(teach),
        Needs(shadows="in+out", early=True),
        "this project, docs/learned.md",
        summary,
        threshold=0.5,
        calibrated=is_calibrated,
        teach=teach,
    )


ATTACKS = [
    _attack(
        "learned",
        learned(),
        "A classifier trained on shadow models in the target's place, on how answers compare with the other models'.",
    ),
    _attack(
        "learned-offline",
        learned(offline=True),
        "As learned, but features know only the models that did not train on the record; the others only teach.",
    ),
]
