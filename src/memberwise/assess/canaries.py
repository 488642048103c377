"""The worst case: canaries under every model in the target's place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memberwise.assess.curves import thinned_roc
from memberwise.assess.figures import AttackEvaluation
from memberwise.assess.stand_ins import take_turns, usable
from memberwise.seeds import Seeds
from memberwise.signals.table import Signals
from memberwise.statistics import Estimate, Pairs, TprAtFpr, auto_fprs, tpr_at_no_false_positive, tpr_of_pairs
from memberwise.statistics.carried import threshold_at_fpr
from memberwise.study.schema import CanariesConfig
from memberwise.types.arrays import Arrays, Floats, Ints, Mask

# The published figure of canary audits (Aerni, Zhang and Tramer 2024).
WORST_CASE_FPR = 0.001
LISTED = 12


@dataclass(frozen=True)
class ExposedCanary:
    """A canary that is found often.

    Attributes:
        index: its row number. found: in how many of the ``models`` that trained on it it is found.
        wrongly: in how many models that did not train on it it is found, too.
    """

    index: int
    found: int
    models: int
    wrongly: int | None = None


@dataclass(frozen=True)
class PerCanary:
    """How the canaries differ: shares of them that are always and never found, the median canary's share of models,
    and those that are found most often."""

    fpr: float
    always: float
    never: float
    median: float
    most_exposed: tuple[ExposedCanary, ...]


@dataclass(frozen=True)
class CanariesPart:
    """The ``canaries`` of ``result.json``: over all pairs of a canary and a model in the target's place."""

    count: int
    kind: str
    source: str | None
    attack: str
    models: int
    tpr_at_fpr: tuple[TprAtFpr, ...]
    tpr_at_zero: Estimate
    per_canary: PerCanary


def canaries_part(
    signals: Signals,
    main: AttackEvaluation,
    member: Mask,
    evaluated: Mask,
    study: CanariesConfig,
    confidence: float,
    seeds: Seeds,
) -> tuple[CanariesPart, Arrays] | None:
    """The ``canaries`` of ``result.json`` and its arrays for ``curves.npz``: over all (canary, model) pairs.

    Each model's complement stands aside with it, else the number of models that trained on a canary would tell
    whether this one did. Pairs of one canary are not independent: intervals are by bootstrap over canaries. None
    where no shadow model can take the target's place.

    ``member``, ``evaluated``: ``(n,)``, the truth, and which records the figures are about.
    """
    shadows = 0 if signals.shadows is None else signals.shadows.models
    turns = take_turns(signals, main, member, evaluated, range(shadows), seeds)
    models = usable(turns)
    if len(models) < 2:
        return None
    scores, inside = turns.scores[models], turns.member[models]
    pairs = Pairs.of(scores, inside, seeds.rng("bootstrap of canaries"))
    rates = sorted({*auto_fprs(len(pairs.nonmembers)), WORST_CASE_FPR}, reverse=True)
    part = CanariesPart(
        count=scores.shape[1],
        kind=study.kind,
        source=study.source,
        attack=main.attack.name,
        models=len(models),
        tpr_at_fpr=tuple(tpr_of_pairs(pairs, fpr, confidence) for fpr in rates),
        tpr_at_zero=tpr_at_no_false_positive(pairs, confidence),
        per_canary=_per_canary(pairs, signals.index),
    )
    return part, thinned_roc("canaries", scores, inside) | {
        "canaries.found": _found(pairs)[0],
        "canaries.index": signals.index,
    }


def _found(pairs: Pairs) -> tuple[Floats, Ints, Ints]:
    """For each canary the share of its models that are found out at 0.1 % FPR, how many, and how many there are."""
    inside = pairs.member & ~np.isnan(pairs.scores)
    hits = (inside & _accused(pairs)).sum(0)
    times = inside.sum(0)
    return hits / np.maximum(times, 1), hits, times


def _accused(pairs: Pairs) -> Mask:
    """``(m, n)``: the score is above the threshold for 0.1 % of the non-member pairs."""
    return np.asarray(pairs.scores > threshold_at_fpr(pairs.nonmembers, WORST_CASE_FPR))


def _per_canary(pairs: Pairs, index: Ints) -> PerCanary:
    share, hits, times = _found(pairs)
    wrongly = (_accused(pairs) & ~pairs.member).sum(0)
    order = np.lexsort((wrongly, -share))[:LISTED]
    return PerCanary(
        fpr=WORST_CASE_FPR,
        always=float((share == 1).mean()),
        never=float((share == 0).mean()),
        median=float(np.median(share)),
        most_exposed=tuple(ExposedCanary(int(index[i]), int(hits[i]), int(times[i]), int(wrongly[i])) for i in order),
    )
