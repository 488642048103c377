"""Several models in the target's place: how much the figures differ from one training to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import log

import numpy as np

from memberwise.assess.figures import AttackEvaluation
from memberwise.assess.stand_ins import one_of_each_pair_first, take_turns, usable
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import Estimate, auc, clopper_pearson, mean_over_models, tpr_at
from memberwise.statistics.carried import threshold_at_fpr
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES
from memberwise.types.arrays import Mask
from memberwise.types.parts import FIRST

# The false-positive rate at which a record is called exposed is the one nearest to this.
EXPOSED_AT = 0.01


@dataclass(frozen=True)
class OverModels:
    """A figure of several models: its mean with an interval, the standard deviation, and each model's."""

    mean: Estimate
    std: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class RateOverModels(OverModels):
    """The true-positive rate at a false-positive rate, of several models."""

    fpr: float = field(metadata=FIRST)


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Which members are found at a false-positive rate by the attack on every model that trained on them.

    Records are named in ``people`` alone: one that is found always may look so whether or not it was trained on.

    Attributes:
        records: how many two models or more trained on; all shares are of these, None without any.
        always, sometimes, never: found in every such model, in some, in none.
        by_chance: the share that would be found always if each model exposed as many members as it does, drawn anew.
        overlap: the mean of |both| / |either| over pairs of models, among the members of both.
    """

    fpr: float
    records: int
    always: Estimate | None
    sometimes: float | None
    never: float | None
    by_chance: float | None
    overlap: float | None


@dataclass(frozen=True)
class TargetsPart:
    """The ``targets`` of ``result.json``: one attack on several models in the target's place."""

    count: int
    attack: str
    auc: OverModels
    tpr_at_fpr: tuple[RateOverModels, ...]
    stability: Stability


def targets_part(
    signals: Signals,
    main: AttackEvaluation,
    member: Mask,
    evaluated: Mask,
    count: int,
    fprs: Sequence[float],
    confidence: float,
    seeds: Seeds,
) -> TargetsPart | None:
    """The ``targets`` of ``result.json``: the target and ``count - 1`` shadow models, one of each pair first.

    None where fewer than two models can be attacked.

    ``member``, ``evaluated``: ``(n,)``, the truth, and which records the figures are about.
    """
    shadows = 0 if signals.shadows is None else signals.shadows.models
    turns = take_turns(signals, main, member, evaluated, one_of_each_pair_first(shadows)[: count - 1], seeds)
    models = usable(turns)
    if len(models) < 2:
        return None
    scored = turns.scored
    parts = [(turns.scores[k][scored[k]], turns.member[k][scored[k]]) for k in models]
    n1, n0 = (int(np.mean([(m == side).sum() for _, m in parts])) for side in (True, False))
    at = exposed_at(fprs, n0)
    rates = [(fpr, _over([tpr_at(s, m, fpr) for s, m in parts], n1, n0, confidence)) for fpr in fprs]
    return TargetsPart(
        count=len(models),
        attack=main.attack.name,
        auc=_over([auc(s, m, confidence).value for s, m in parts], n1, n0, confidence),
        tpr_at_fpr=tuple(RateOverModels(fpr=fpr, **vars(figure)) for fpr, figure in rates),
        stability=_stability(turns.scores[models], turns.member[models], at, confidence),
    )


def exposed_at(fprs: Sequence[float], n_nonmembers: int) -> float:
    """Of the rates that the non-members resolve (or the largest) the one nearest to 1 %."""
    resolved = [fpr for fpr in fprs if fpr * n_nonmembers >= ENOUGH_FALSE_POSITIVES] or [max(fprs)]
    return min(resolved, key=lambda fpr: abs(log(fpr / EXPOSED_AT)))


def _over(values: list[float], n1: int, n0: int, confidence: float) -> OverModels:
    mean, deviation = mean_over_models(values, n1, n0, confidence)
    return OverModels(mean, deviation, tuple(values))


def _stability(scores: np.ndarray, member: Mask, fpr: float, confidence: float) -> Stability:
    """Who is found in every model that trained on them."""
    inside = member & ~np.isnan(scores)
    cuts = [threshold_at_fpr(s[~m & ~np.isnan(s)], fpr) for s, m in zip(scores, member, strict=True)]
    above = scores > np.array(cuts)[:, None]  # never where a score is NaN
    detections = inside & above
    known = inside.sum(0) >= 2
    times, hits = inside.sum(0)[known], detections.sum(0)[known]
    always = int((hits == times).sum())
    rate = detections.sum(1) / np.maximum(inside.sum(1), 1)
    chance = np.where(inside[:, known], rate[:, None], 1.0).prod(0)
    overlaps = []
    for a, b in combinations(range(len(scores)), 2):
        common = inside[a] & inside[b]
        if either := int(((detections[a] | detections[b]) & common).sum()):
            overlaps.append(int((detections[a] & detections[b]).sum()) / either)
    return Stability(
        fpr=fpr,
        records=int(known.sum()),
        always=_share(always, int(known.sum()), confidence),
        sometimes=float(((hits > 0) & (hits < times)).mean()) if known.any() else None,
        never=float((hits == 0).mean()) if known.any() else None,
        by_chance=float(chance.mean()) if known.any() else None,
        overlap=float(np.mean(overlaps)) if overlaps else None,
    )


def _share(k: int, n: int, confidence: float) -> Estimate | None:
    if not n:
        return None
    low, high = clopper_pearson(k, n, confidence)
    return Estimate(k / n, float(low), float(high), n, 0, "Clopper-Pearson over the records")
