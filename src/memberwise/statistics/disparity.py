"""Whether some groups of people are more at risk than the rest: differences of mean risk, and who is at the top."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from memberwise.statistics.intervals import clopper_pearson, error_rate
from memberwise.types.arrays import Array, Floats, Ints, Mask

# Draws by lot: more where many groups are compared, as Holm's rule asks for smaller p-values, within so many values.
PERMUTATIONS, PER_GROUP, MOST_VALUES = 4999, 100, 1_000_000_000
# Values that are permuted at once.
AT_ONCE = 2_000_000
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
        p: that a group which is like the rest differs as much; p_adjusted: by Holm's rule over all that are compared.
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
    risks: Floats,
    divisions: Sequence[tuple[str, Array]],
    confidence: float,
    rng: np.random.Generator,
    by_pair: NDArray[np.floating] | None = None,
) -> list[GroupDifference]:
    """Every group of at least ``SMALLEST`` records beside the rest, with Holm's correction over all of them.

    The p-value is that of a permutation test: groups are drawn by lot among the same records, so that what models do to
    all records alike is the same under every draw. The interval is Welch's. What models do to one group alike is in
    neither: with ``by_pair`` the variance of the difference is that of two ways, over records and over pairs of models
    (:mod:`memberwise.statistics.two_way`), and of its p-value and the permutation test's the larger counts. A group by
    another name (a column of one value, a town within its country) is compared once.

    Args:
        risks: ``(n,)`` AUC_i. divisions: by what the records are divided, and ``(n,)`` names of groups.
        by_pair: ``(p, n)`` what each pair of models says of them, so that they are its mean.
    """
    groups = _compared(divisions)
    if not groups:
        return []
    order = np.lexsort((rng.random(len(risks)), -risks))  # of equals by lot, not by their place in the file
    p = _permutation_p(risks, [group.inside for group in groups], rng)
    rows = [
        _beside_rest(group, risks, order, float(one), confidence, by_pair) for group, one in zip(groups, p, strict=True)
    ]
    return _adjusted(rows, [group.question for group in groups])


@dataclass(frozen=True)
class _Group:
    """A group ``inside`` ``(n,)``; ``question`` is one for it and for its rest."""

    by: str
    name: str
    inside: Mask
    question: bytes


def _compared(divisions: Sequence[tuple[str, Array]]) -> list[_Group]:
    """Groups with ``SMALLEST`` records on either side; of those that hold the same records the first."""
    groups: dict[bytes, _Group] = {}
    for by, names in divisions:
        distinct, codes, sizes = np.unique(names, return_inverse=True, return_counts=True)
        for code in np.flatnonzero((sizes >= SMALLEST) & (len(names) - sizes >= SMALLEST)):
            inside = codes == code
            alike = _digest(inside)
            group = _Group(by, str(distinct[code]), inside, min(alike, _digest(~inside)))
            groups.setdefault(alike, group)
    return list(groups.values())


def _digest(inside: Mask) -> bytes:
    return hashlib.blake2b(np.packbits(inside).tobytes(), digest_size=16).digest()


def _permutation_p(risks: Floats, groups: Sequence[Mask], rng: np.random.Generator) -> Floats:
    """``(groups,)`` shares of draws by lot in which a group's mean lies as far from the others' as it does.

    Each draw deals the risks out anew, and serves every group.
    """
    centred, records = risks - risks.mean(), len(risks)
    # Records of the same groups are a cell: risks are summed by cell, and cells by group.
    kinds, cell = np.unique(np.packbits(np.stack(groups), axis=0), axis=1, return_inverse=True)
    cells = sparse.csr_array((np.ones(records), (cell.ravel(), np.arange(records))))
    members = sparse.csr_array(np.unpackbits(kinds, axis=0, count=len(groups)).astype(np.float64))
    seen = np.abs(members @ (cells @ centred))
    draws = max(PERMUTATIONS, min(PER_GROUP * len(groups), MOST_VALUES // records))
    as_far = np.zeros(len(groups))
    step = max(1, AT_ONCE // records)
    for first in range(0, draws, step):
        dealt = rng.permuted(np.tile(centred, (min(step, draws - first), 1)), axis=1)
        as_far += (np.abs(members @ (cells @ dealt.T)) >= seen[:, None] - 1e-12).sum(1)
    return np.asarray((1 + as_far) / (1 + draws))


def _beside_rest(
    group: _Group, risks: Floats, order: Ints, p: float, confidence: float, by_pair: NDArray[np.floating] | None
) -> GroupDifference:
    inside = group.inside
    difference = float(risks[inside].mean() - risks[~inside].mean())
    variance, freedom = _welch(risks, inside)
    if by_pair is not None and len(by_pair) > 1:
        variance, freedom = _over_models(by_pair, inside, variance, freedom)
        p = max(p, 2 * float(special.stdtr(freedom, -abs(difference) / max(sqrt(variance), 1e-150))))
    half = float(special.stdtrit(freedom, 1 - error_rate(confidence) / 2)) * sqrt(variance)
    return GroupDifference(
        group.by,
        group.name,
        int(inside.sum()),
        float(risks[inside].mean()),
        difference,
        difference - half,
        difference + half,
        p,
        p,
        tuple(_top(inside[order], share, confidence) for share in TOP),
    )


def _welch(values: Floats, inside: Mask) -> tuple[float, float]:
    """The variance of the difference between a group's mean and the rest's, of values ``(n,)``; degrees of freedom."""
    here, rest = values[inside], values[~inside]
    one, other = float(here.var(ddof=1)) / len(here), float(rest.var(ddof=1)) / len(rest)
    weights = one**2 / (len(here) - 1) + other**2 / (len(rest) - 1)
    return one + other, min((one + other) ** 2 / weights, 1e9) if weights > 0 else 1e9


def _over_models(by_pair: NDArray[np.floating], inside: Mask, of_records: float, freedom: float) -> tuple[float, float]:
    """The variance over records and over pairs of models, with what is in both counted once; degrees of freedom."""
    pairs = len(by_pair)
    rows = [row.astype(np.float64) for row in by_pair]
    differences = [float(row[inside].mean() - row[~inside].mean()) for row in rows]
    of_models = float(np.var(differences, ddof=1)) / pairs
    of_cells = float(np.mean([_welch(row, inside)[0] for row in rows])) / pairs
    variance = max(of_records + of_models - of_cells, of_records, of_models)
    parts = of_models**2 / (pairs - 1) + of_records**2 / freedom
    return variance, variance**2 / parts if parts > 0 else freedom


def _top(inside: Array, share: float, confidence: float) -> TopShare:
    """Of the first of the records, which come in the order of their risk."""
    of = ceil(share * len(inside))
    count = int(inside[:of].sum())
    low, high = clopper_pearson(count, of, confidence)
    return TopShare(share, count, of, count / of, float(low), float(high))


def _adjusted(rows: list[GroupDifference], questions: Sequence[bytes]) -> list[GroupDifference]:
    """Holm (1979): the chance that any group is called different where none is stays below the error.

    A group and its rest (women and men, say) are one comparison.
    """
    first: dict[bytes, float] = {}
    for row, question in zip(rows, questions, strict=True):
        first.setdefault(question, row.p)
    adjusted, largest = dict[bytes, float](), 0.0
    for place, question in enumerate(sorted(first, key=first.__getitem__)):
        largest = max(largest, min(1.0, (len(first) - place) * first[question]))
        adjusted[question] = largest
    return [replace(row, p_adjusted=adjusted[question]) for row, question in zip(rows, questions, strict=True)]
