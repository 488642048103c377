"""The risk of a person (a household, a hospital) by all records together: by their sum, and by the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from memberwise.assess.recipe import mark
from memberwise.assess.turns import Turns
from memberwise.seeds import Seeds
from memberwise.statistics import Estimate, TprAtFpr, auc, tpr_at_fpr
from memberwise.statistics.two_way import estimates, two_way
from memberwise.types.arrays import Floats, Ints, Mask

How = Literal["sum", "largest"]
WAYS: tuple[How, ...] = ("sum", "largest")
FEWEST = 10


@dataclass(frozen=True)
class UnitFigures:
    """Figures about whole units: ``how`` their records' scores are put together."""

    how: How
    auc: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]


@dataclass(frozen=True)
class UnitsPart:
    """The ``units`` of ``result.json``.

    Attributes:
        attack: whose scores, log ratios, are put together. units: how many are judged.
        records: of a unit, the median, and the most.
        target: about this model, intervals over units. recipe: over all models in turn, over trainings and units; empty
            where none took turns.
    """

    attack: str
    units: int
    records: float
    most_records: int
    target: tuple[UnitFigures, ...]
    recipe: tuple[UnitFigures, ...]


def units_part(
    scores: Floats,
    member: Mask,
    units: Ints,
    turns: Turns | None,
    attack: str,
    fprs: Sequence[float],
    confidence: float,
    seeds: Seeds,
) -> UnitsPart | None:
    """The figures about whole units; None where there are too few.

    Args:
        scores, member: ``(n,)`` of the target. units: ``(n,)`` whose record each is; one on both sides is left out.
        turns: the same attack on all models in turn.
    """
    judged = ~np.isnan(combined(scores[None], units, "sum")[0]) & _whole(member[None], units)
    sizes = np.unique(units, return_counts=True)[1][judged]
    inside = _member(member[None], units)[0, judged]
    if min(int(inside.sum()), int((~inside).sum())) < FEWEST:
        return None
    joined = {how: combined(scores[None], units, how)[0, judged] for how in WAYS}
    return UnitsPart(
        attack=attack,
        units=len(inside),
        records=float(np.median(sizes)),
        most_records=int(sizes.max()),
        target=tuple(_of_target(values, inside, how, fprs, confidence) for how, values in joined.items()),
        recipe=() if turns is None else _of_recipe(turns, units, fprs, confidence, seeds),
    )


def combined(scores: Floats, units: Ints, how: How) -> Floats:
    """``(m, u)`` one score a unit, in the order of the units' numbers, from ``(m, n)`` log ratios; NaN without any.

    The sum is the log ratio of all records together where they are independent; the largest holds where one record of a
    person is enough.
    """
    _, codes = np.unique(units, return_inverse=True)
    count = int(codes.max()) + 1
    joined = np.full((len(scores), count), np.nan)
    for row, values in zip(joined, scores, strict=True):
        here = ~np.isnan(values)
        start = np.zeros(count) if how == "sum" else np.full(count, -np.inf)
        (np.add if how == "sum" else np.maximum).at(start, codes[here], values[here])
        any_scored = np.bincount(codes[here], minlength=count) > 0
        row[any_scored] = start[any_scored]
    return joined


def _member(member: Mask, units: Ints) -> Mask:
    """``(m, u)`` whether a unit's records were trained on."""
    return np.asarray(member[:, np.unique(units, return_index=True)[1]])


def _of_target(scores: Floats, inside: Mask, how: How, fprs: Sequence[float], confidence: float) -> UnitFigures:
    rates = tuple(tpr_at_fpr(scores, inside, fpr, confidence) for fpr in fprs)
    return UnitFigures(how, auc(scores, inside, confidence), rates)


def _of_recipe(
    turns: Turns, units: Ints, fprs: Sequence[float], confidence: float, seeds: Seeds
) -> tuple[UnitFigures, ...]:
    """Over all models in turn, of units that each trained on wholly or not at all; empty where these are few."""
    inside, whole = _member(turns.member, units), _whole(turns.member, units)
    if min(inside[:, whole].sum(1).min(), (~inside[:, whole]).sum(1).min()) < FEWEST:
        return ()
    rows = []
    for how in WAYS:
        scores = np.where(whole, combined(turns.scores, units, how), np.nan)
        models = two_way(scores, inside, turns.clusters, fprs, seeds.rng(f"units drawn anew:{how}"))
        n1, n0 = (int(np.mean(side[:, whole].sum(1))) for side in (inside, ~inside))
        area, *rates = estimates(models, confidence, n1, n0)
        of_rates = zip(rates, fprs, strict=True)
        marked = tuple(TprAtFpr(**vars(one), fpr=fpr, resolvable=mark(fpr, n0)) for one, fpr in of_rates)
        rows.append(UnitFigures(how, area, marked))
    return tuple(rows)


def _whole(member: Mask, units: Ints) -> Mask:
    """``(u,)`` the units of which no model ``(m, n)`` trained on a part."""
    _, codes, sizes = np.unique(units, return_inverse=True, return_counts=True)
    counts = (np.bincount(codes, weights=row, minlength=len(sizes)) for row in member)
    return np.asarray(np.all([(count == 0) | (count == sizes) for count in counts], axis=0))
