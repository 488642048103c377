"""The learned attack: a classifier trained on shadow models in the target's place tells members from others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.attacks.in_out import shadows_of
from memberwise.attacks.learned.features import HEIGHT, features, statistics, with_heights
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Answers, Signals
from memberwise.types.arrays import Floats, Floats32, Mask

Features = Floats32
# Small steps, small trees, half the features at each split: within noise of the best of a dozen settings tried.
TREES: dict[str, object] = {
    "max_iter": 200,
    "learning_rate": 0.04,
    "max_leaf_nodes": 12,
    "min_samples_leaf": 60,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "early_stopping": False,
}
# With fewer shadow models too few are left once one and its complement stand aside.
FEWEST_MODELS = 6
# So many shadow models take the target's place, fewer where fewer have this many rows; so many rows train the judge.
MOST_STAND_INS = 16
MOST_ROWS = 200_000


@dataclass(frozen=True)
class Lesson:
    """One shadow model in the target's place.

    Attributes:
        x: ``(r, f)`` features of records the stand-in may teach on; member: ``(r,)`` whether it saw them.
        scored: ``(n,)`` records which can be scored beside its statistics; asked: their features under the target.
    """

    x: Features
    member: Mask
    scored: Mask
    questions: Features


def learned(offline: bool = False) -> Score:
    """Probability of "member", learned on shadow models. HIGHER = MORE LIKELY A MEMBER. Ours: docs/learned.md.

    Shadow models take the target's place in turn; each and its complement are left out of the statistics, so that
    these tell nothing about what it saw. Its records' features (``features.features``) train a judge to tell what it
    saw from what it did not. The target's records get their features from the very same statistics, once for each
    stand-in, and the judge's log odds are averaged. Assumes 6 shadow models or more, of which some trained on the
    record and some did not; more of them make it stronger, and so do full answers of 6 or more and of the target.
    Trained on as many members as non-members, its threshold is 1/2. Records without a model on both sides, and all of
    them with fewer shadow models: NaN.

    Args:
        offline: features know the OUT models alone, as other offline attacks do; IN models only teach.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        training_table = list(teach(signals, offline, rng))
        member = np.concatenate([lesson.member for lesson in training_table]) if training_table else np.zeros(0, bool)
        if not member.any() or member.all():
            return np.full(signals.records, np.nan)
        log_odds = judge(np.concatenate([lesson.x for lesson in training_table]), member, rng)
        total, times = np.zeros(signals.records), np.zeros(signals.records)
        for lesson in training_table:
            if lesson.scored.any():
                total[lesson.scored] += log_odds(lesson.questions)
                times += lesson.scored
        return np.asarray(expit(total / np.where(times, times, np.nan)))

    return score


def teach(signals: Signals, offline: bool, rng: np.random.Generator) -> Iterator[Lesson]:
    """The lessons, one a stand-in, at most ``MOST_ROWS`` rows in all; none with fewer than ``FEWEST_MODELS``."""
    if len(signals.trained_on) < FEWEST_MODELS:
        return
    table = _lean(signals)
    count = min(len(table.trained_on), int(np.clip(MOST_ROWS // table.records, FEWEST_MODELS, MOST_STAND_INS)))
    if HEIGHT in table.target.extra:
        count = min(count, len(shadows_of(table.shadows).extra[HEIGHT]))
    rest, stats = table, None
    for k in range(count):
        before, stand_in = rest, as_target(table, k, rng)
        rest = stand_in.signals
        if not _same_models(before, rest):  # a model and its complement leave the same ones behind
            stats = statistics(rest, offline)
        if stats is None:
            continue
        both = np.asarray(rest.is_in.any(0) & rest.is_out.any(0))
        rows = np.flatnonzero(stand_in.evaluated & both)
        if rows.size > MOST_ROWS // count:
            rows = rng.choice(rows, MOST_ROWS // count, replace=False)
        scored = np.asarray(rest.is_out.any(0)) if offline else both
        mine, targets = (_matrix(features(answers, stats)) for answers in (rest.target, table.target))
        yield Lesson(mine[rows], stand_in.member[rows], scored, targets[scored])


def _same_models(one: Signals, other: Signals) -> bool:
    return np.array_equal(one.trained_on, other.trained_on) and np.array_equal(
        shadows_of(one.shadows).log_p, shadows_of(other.shadows).log_p
    )


def _lean(signals: Signals) -> Signals:
    """The table without what the attack does not read; full answers of enough models boiled down to heights."""
    target, shadows = signals.target, shadows_of(signals.shadows)
    if target.vectors is None or shadows.vectors is None or len(shadows.vectors) < FEWEST_MODELS:
        target, shadows = _bare(target), _bare(shadows)
    else:
        target, shadows = (with_heights(answers, signals.labels) for answers in (target, shadows))
    return Signals(signals.index, signals.labels, target, shadows, signals.trained_on, known=signals.known)


def _bare(answers: Answers) -> Answers:
    return replace(answers, vectors=None, extra={})


def _matrix(columns: dict[str, Floats]) -> Features:
    return np.stack(list(columns.values()), 1).astype(np.float32)


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


def judge(x: Features, member: Mask, rng: np.random.Generator) -> Callable[[Features], Floats]:
    """Train on rows of features; returns the log odds of "member" of rows, HIGHER = MORE LIKELY A MEMBER.

    Args:
        x: ``(n, features)``. member: ``(n,)``.

    Returns:
        A function of ``(k, features)`` rows, which gives ``(k,)`` log odds.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    trees = HistGradientBoostingClassifier(**TREES, random_state=int(rng.integers(2**31))).fit(x, member)
    return lambda rows: np.asarray(trees.decision_function(rows), np.float64)
