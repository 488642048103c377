"""Whether some groups of people are more at risk than the rest: differences of mean risk, and who is at the top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

import numpy as np
from scipy import special

from memberwise.statistics.intervals import clopper_pearson, error_rate
from memberwise.types.arrays import Array, Floats, Ints

PERMUTATIONS = 4999
# Smaller groups are not compared: a figure of so few is about single people, and decides nothing.
SMALLEST = 30
TOP = (0.01, 0.05)


@dataclass(frozen=True)
class TopShare:
    """How many of the most exposed records belong to a group.

    Attributes:
        top: the share of all records that is looked at. count, of: so many of so many.
        value, low, high: their share with its interval.
    """

    top: float
    count: int
    of: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupDifference:
    """One group beside the rest.

    Attributes:
        by: what divides the records: "class" or "group". name: of the group. records: in it.
        mean: of its records' AUC_i. difference, low, high: to the mean of the rest, with an interval.
        p: that a group drawn by lot differs as much; p_adjusted: by Holm's rule over all groups that are compared.
        top: among the most exposed.
    """

    by: str
    name: str
    records: int
    mean: float
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    top: tuple[TopShare, ...]


def group_differences(
    risks: Floats, divisions: Sequence[tuple[str, Array]], confidence: float, rng: np.random.Generator
) -> list[GroupDifference]:
    """Every group of at least ``SMALLEST`` records beside the rest, with Holm's correction over all of them.

    The p-value is that of a permutation test: groups are drawn by lot among the same records, so that what models do to
    all records alike is the same under every draw. The interval is Welch's.

    Args:
        risks: ``(n,)`` AUC_i. divisions: by what the records are divided, and ``(n,)`` names of groups.
    """
    rows: list[GroupDifference] = []
    for by, names in divisions:
        groups, codes = np.unique(names, return_inverse=True)
        sizes = np.bincount(codes, minlength=len(groups))
        compared = np.flatnonzero((sizes >= SMALLEST) & (len(risks) - sizes >= SMALLEST))
        if not len(compared):
            continue
        p = _permutation_p(risks, codes, sizes, rng)
        rows += [_beside_rest(by, str(groups[g]), risks, codes == g, float(p[g]), confidence) for g in compared]
    return _adjusted(rows)


def _permutation_p(risks: Floats, codes: Ints, sizes: Ints, rng: np.random.Generator) -> Floats:
    """``(groups,)`` shares of draws by lot in which a group's mean lies as far from the others' as it does."""
    centred = risks - risks.mean()

    def sums(values: Floats) -> Floats:
        return np.bincount(codes, weights=values, minlength=len(sizes)).astype(np.float64)

    seen = np.abs(sums(centred))
    as_far = np.zeros(len(sizes))
    for _ in range(PERMUTATIONS):
        as_far += np.abs(sums(rng.permutation(centred))) >= seen - 1e-12
    return np.asarray((1 + as_far) / (1 + PERMUTATIONS))


def _beside_rest(by: str, name: str, risks: Floats, inside: Array, p: float, confidence: float) -> GroupDifference:
    here, rest = risks[inside], risks[~inside]
    difference = float(here.mean() - rest.mean())
    parts = [part.var(ddof=1) / len(part) for part in (here, rest)]
    variance = sum(parts)
    weights = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (here, rest), strict=True))
    freedom = variance**2 / weights if weights > 0 else inf
    half = float(special.stdtrit(min(freedom, 1e9), 1 - error_rate(confidence) / 2) * np.sqrt(variance))
    order = np.argsort(-risks, kind="stable")
    top = tuple(_top(inside[order], share, confidence) for share in TOP)
    return GroupDifference(
        by, name, int(inside.sum()), float(here.mean()), difference, difference - half, difference + half, p, p, top
    )


def _top(inside: Array, share: float, confidence: float) -> TopShare:
    """Of the first of the records, which come in the order of their risk."""
    of = ceil(share * len(inside))
    count = int(inside[:of].sum())
    low, high = clopper_pearson(count, of, confidence)
    return TopShare(share, count, of, count / of, float(low), float(high))


def _adjusted(rows: list[GroupDifference]) -> list[GroupDifference]:
    """Holm (1979): the chance that any group is called different where none is stays below the error."""
    order = np.argsort([row.p for row in rows], kind="stable")
    adjusted, largest = np.zeros(len(rows)), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(rows) - place) * rows[i].p))
        adjusted[i] = largest
    return [replace(row, p_adjusted=float(value)) for row, value in zip(rows, adjusted, strict=True)]
