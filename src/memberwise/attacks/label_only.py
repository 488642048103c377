"""Label-only attacks: how firmly the right label holds around a record. Nothing but answered labels is seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.attacks.shokri import balanced_rows, fit_classifier, logistic
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats, Floats32

MOST_ROWS = 40_000


def augmented(signals: Signals, rng: np.random.Generator) -> Floats:
    """On which augmented copies the label is right (Choquette-Choo et al. 2021, section 4.2).

    With shadow models that were asked, too: a logistic regression on the bits, trained on them (up to 20,000 answers
    a side), gives the probability of "member"; without, the share of right labels. HIGHER = MORE LIKELY A MEMBER.
    Scores are discrete, so many records tie; the regression tells more of them apart.

    Returns:
        ``(n,)`` float64 in [0, 1].
    """
    return _by_shadows(signals, "augmented", None, rng)


def _by_shadows(signals: Signals, name: str, alone: int | None, rng: np.random.Generator) -> Floats:
    """``(n,)``: a logistic regression of membership on what a collector gathered, ``(m, n, k)``, learned on shadow
    models; without them its column ``alone``, or the mean of all."""
    answers = signals.target.extra[name][0].astype(np.float64)
    bare = np.asarray(answers.mean(-1) if alone is None else answers[:, alone])
    if signals.shadows is None or name not in signals.shadows.extra:
        return bare
    asked = signals.shadows.extra[name]
    trained_on = signals.trained_on[: len(asked)]
    rows = balanced_rows(trained_on, np.ones(signals.records, bool), MOST_ROWS, rng)
    if not rows.size:
        return bare
    at = tuple(rows.T)
    return fit_classifier(logistic, asked[at].astype(np.float64), trained_on[at], rng)(answers)


def noised(signals: Signals, rng: np.random.Generator) -> Floats:
    """The share of noised copies with the right label (Choquette-Choo et al. 2021, section 4.3; Li & Zhang 2021).

    HIGHER = MORE LIKELY A MEMBER. Of the strengths of noise that with the best AUC over shadow models is used, or the
    mean over all of them if that is better there, or if there are no shadow models. More shadow models choose better.

    Returns:
        ``(n,)`` float64 in [0, 1].
    """
    answers = _with_mean(signals.target.extra["noised"][:1])[0]
    aucs = np.array(list(_aucs(signals)))
    return np.asarray(answers[:, aucs.mean(0).argmax() if aucs.size else -1])


def _with_mean(shares: Floats32) -> Floats:
    """``(m, n, s + 1)``: the shares at each strength, then their mean."""
    wide = shares.astype(np.float64)
    return np.concatenate([wide, wide.mean(-1, keepdims=True)], axis=-1)


def _aucs(signals: Signals) -> Iterator[Floats]:
    """``(s + 1,)``: of each shadow model, the AUC at each strength."""
    from scipy.stats import rankdata

    extra = {} if signals.shadows is None else signals.shadows.extra
    shares = extra.get("noised", np.zeros((0, 0, 0)))
    for k in range(len(shares)):
        inside, outside = signals.is_in[k], signals.is_out[k]
        if inside.any() and outside.any():
            used = inside | outside
            ranks = rankdata(_with_mean(shares[k : k + 1])[0, used], axis=0)[inside[used]].sum(0)
            yield (ranks / inside.sum() - (inside.sum() + 1) / 2) / outside.sum()


def near(signals: Signals, rng: np.random.Generator) -> Floats:
    """How rightly, and how firmly, copies of a record are answered that hardly differ from it.

    One model answers them alike, so that this is the gap attack; a service that draws its answers draws anew, and
    shows how its models vote (repetition, as far as stored answers leave it). With shadow models that were asked, too:
    a logistic regression, trained on them (up to 20,000 answers a side), gives the probability of "member"; without,
    the share of right labels. HIGHER = MORE LIKELY A MEMBER. More copies make it stronger.

    Returns:
        ``(n,)`` float64 in [0, 1].
    """
    return _by_shadows(signals, "near", 1, rng)


def boundary(signals: Signals, rng: np.random.Generator) -> Floats:
    """The distance to the decision boundary, 0 where the label is wrong (Choquette-Choo et al. 2021; Li & Zhang 2021).

    HIGHER = MORE LIKELY A MEMBER. More questions a record make it stronger. NaN for records that were not asked about.

    Returns:
        ``(n,)`` float64, non-negative, in the unit of the features.
    """
    return np.asarray(signals.target.extra["boundary"][0], np.float64)


ATTACKS = [
    Attack(
        name="label-only-augment",
        score=augmented,
        needs=Needs(answers="labels", extra="augmented"),
        source="Choquette-Choo et al. 2021",
        summary="On which augmented copies of a record the answered label is right.",
        default=False,
    ),
    Attack(
        name="label-only-noise",
        score=noised,
        needs=Needs(answers="labels", extra="noised"),
        source="Choquette-Choo et al. 2021; Li & Zhang 2021",
        summary="How many noised copies of a record keep the right label.",
        default=False,
    ),
    Attack(
        name="label-only-boundary",
        score=boundary,
        needs=Needs(answers="labels", extra="boundary"),
        source="Choquette-Choo et al. 2021; Li & Zhang 2021; Chen et al. 2020 (HopSkipJump)",
        summary="How far a record lies from the decision boundary, by asking for labels alone.",
        default=False,
    ),
]
# Of use where answers are drawn: a model's own labels of such copies tell what one of them tells.
NEAR = Attack(
    name="label-only-near",
    score=near,
    needs=Needs(answers="labels", extra="near"),
    source="after Choquette-Choo et al. 2021",
    summary="How rightly and firmly copies that hardly differ are answered, where answers are drawn by chance.",
    default=False,
)
