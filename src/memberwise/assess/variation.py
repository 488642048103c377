"""Several models in the target's place: how much the figures differ from one training to the next, and who is exposed
whatever model is trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import log
from typing import Any

import numpy as np

from memberwise.assess.figures import AttackEvaluation, Mask
from memberwise.assess.stand_ins import one_of_each_pair_first, take_turns, usable
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import Estimate, auc, clopper_pearson, mean_over_models, tpr_at
from memberwise.statistics.carried import threshold_at_fpr
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES

# The false-positive rate at which a record is called exposed is the one nearest to this.
EXPOSED_AT = 0.01
LISTED = 12


def targets_part(
    signals: Signals,
    main: AttackEvaluation,
    member: Mask,
    evaluated: Mask,
    wanted: int,
    fprs: Sequence[float],
    confidence: float,
    seeds: Seeds,
) -> dict[str, Any] | None:
    """The ``targets`` of ``result.json``: the target and ``wanted - 1`` shadow models, one of each pair first.

    None where fewer than two models can be attacked.
    """
    shadows = 0 if signals.shadows is None else signals.shadows.models
    turns = take_turns(signals, main, member, evaluated, one_of_each_pair_first(shadows)[: wanted - 1], seeds)
    models = usable(turns)
    if len(models) < 2:
        return None
    scored = turns.scored
    parts = [(turns.scores[k][scored[k]], turns.member[k][scored[k]]) for k in models]
    n1, n0 = (int(np.mean([(m == side).sum() for _, m in parts])) for side in (True, False))
    at = exposed_at(fprs, n0)
    return {
        "count": len(models),
        "attack": main.attack.name,
        "auc": _over([auc(s, m, confidence).value for s, m in parts], n1, n0, confidence),
        "tpr_at_fpr": [
            {"fpr": fpr, **_over([tpr_at(s, m, fpr) for s, m in parts], n1, n0, confidence)} for fpr in fprs
        ],
        "stability": _stability(turns.scores[models], turns.member[models], signals.index, at, confidence),
    }


def exposed_at(fprs: Sequence[float], n_nonmembers: int) -> float:
    """Of the rates that the non-members resolve (or the largest) the one nearest to 1 %."""
    resolved = [fpr for fpr in fprs if fpr * n_nonmembers >= ENOUGH_FALSE_POSITIVES] or [max(fprs)]
    return min(resolved, key=lambda fpr: abs(log(fpr / EXPOSED_AT)))


def _over(values: list[float], n1: int, n0: int, confidence: float) -> dict[str, Any]:
    mean, deviation = mean_over_models(values, n1, n0, confidence)
    return {"mean": mean.to_dict(), "std": deviation, "values": values}


def _stability(scores: np.ndarray, member: Mask, index: np.ndarray, fpr: float, confidence: float) -> dict[str, Any]:
    """Which members are found at a false-positive rate by the attack on every model that trained on them.

    About the records that two models or more trained on. ``by_chance`` is the share that would be found always if
    each model exposed as many members as it does, but drawn anew; ``overlap`` the mean of |both| / |either| over pairs
    of models, among the members of both.

    A record is *exposed* whose score is above every such model's threshold and above no threshold of a model that did
    not train on it, at least one: a score that is high either way tells nothing about membership. ``exposed`` is
    their share, ``always_exposed`` their row numbers, those in most models first.
    """
    inside = member & ~np.isnan(scores)
    cuts = [threshold_at_fpr(s[~m & ~np.isnan(s)], fpr) for s, m in zip(scores, member, strict=True)]
    above = scores > np.array(cuts)[:, None]  # never where a score is NaN
    found = inside & above
    outside = ~member & ~np.isnan(scores)
    known = inside.sum(0) >= 2
    times, hits = inside.sum(0)[known], found.sum(0)[known]
    always = int((hits == times).sum())
    rate = found.sum(1) / np.maximum(inside.sum(1), 1)
    chance = np.where(inside[:, known], rate[:, None], 1.0).prod(0)
    overlaps = []
    for a, b in combinations(range(len(scores)), 2):
        common = inside[a] & inside[b]
        if either := int(((found[a] | found[b]) & common).sum()):
            overlaps.append(int((found[a] & found[b]).sum()) / either)
    only_inside = outside[:, known].any(0) & ~(outside & above)[:, known].any(0)
    exposed = (hits == times) & only_inside
    rows = np.flatnonzero(known)[exposed]
    order = np.argsort(-times[exposed], kind="stable")
    return {
        "fpr": fpr,
        "records": int(known.sum()),
        "always": _share(always, int(known.sum()), confidence),
        "sometimes": float(((hits > 0) & (hits < times)).mean()) if known.any() else None,
        "never": float((hits == 0).mean()) if known.any() else None,
        "by_chance": float(chance.mean()) if known.any() else None,
        "overlap": float(np.mean(overlaps)) if overlaps else None,
        "exposed": _share(int(exposed.sum()), int(known.sum()), confidence),
        "always_exposed": [int(i) for i in index[rows[order]][:LISTED]],
    }


def _share(k: int, n: int, confidence: float) -> dict[str, Any] | None:
    if not n:
        return None
    low, high = clopper_pearson(k, n, confidence)
    return Estimate(k / n, float(low), float(high), n, 0, "Clopper-Pearson over the records").to_dict()
