"""How much of an answer is told: all of it, the three largest entries rounded, or the label alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from memberwise.gateway.policy import TIERS, Tier
from memberwise.types.arrays import Array, Floats

# Entries that "top-3" keeps, and their digits after the point.
KEPT, DIGITS = 3, 2
# Instead of a label, where a defence with a bound gives none.
NO_LABEL = -1


def coarsest(tiers: Iterable[Tier]) -> Tier:
    """The tier of these that tells least; "vector" where there are none."""
    return TIERS[max((TIERS.index(tier) for tier in tiers), default=0)]


def labels_of(answers: Array, *, may_abstain: bool = False) -> Array:
    """``(n,)`` int64: the first of the largest entries of each answer.

    Args:
        answers: ``(n, classes)``, or labels ``(n,)``. may_abstain: one that says the same of every class has no label,
            -1.
    """
    if answers.ndim == 1:
        return answers
    labels = answers.argmax(1).astype(np.int64)
    return np.where(_alike(answers) & may_abstain, np.int64(NO_LABEL), labels)


def coarsen(answers: Array, tier: Tier, *, may_abstain: bool = False) -> Array:
    """What a tier tells of answers.

    The label is the first of the largest entries, of the answer itself and of what "top-3" leaves of it: where
    rounding makes a tie, the label keeps its lead by one unit of the last digit.

    Args:
        answers: ``(n, classes)`` float64, or labels ``(n,)``, which stay as they are.
        may_abstain: as in ``labels_of``.

    Returns:
        "vector": the answers. "top-3": ``(n, classes)``, the three largest to two digits, 0 elsewhere.
        "label": ``(n,)`` int64.
    """
    if answers.ndim == 1 or tier == "vector":
        return answers
    if tier == "label":
        return labels_of(answers, may_abstain=may_abstain)
    top = _top(answers, labels_of(answers))
    # No label stays none: of an answer that is the same for all classes three would look like the first ones' lead.
    return np.where((_alike(answers) & may_abstain)[:, None], np.round(answers, DIGITS), top)


def _alike(answers: Floats) -> Array:
    """``(n,)`` true where an answer ``(n, classes)`` says the same of every class."""
    alike: Array = (answers == answers[:, :1]).all(1)
    return alike


def _top(answers: Floats, labels: Array) -> Floats:
    rows = np.arange(len(answers))
    order = np.argsort(-answers, axis=1, kind="stable")[:, :KEPT]
    kept = np.zeros_like(answers)
    np.put_along_axis(kept, order, np.round(np.take_along_axis(answers, order, 1), DIGITS) + 0.0, 1)
    # Scores may be negative: the zeros of entries that are not told must not overtake the label.
    rivals = kept.copy()
    rivals[rows, labels] = -np.inf
    best = rivals.max(1, initial=-np.inf)
    first = rivals.argmax(1) > labels
    behind = (kept[rows, labels] < best) | ((kept[rows, labels] == best) & ~first)
    kept[rows[behind], labels[behind]] = np.round(best[behind] + 10.0**-DIGITS, DIGITS)
    return kept
