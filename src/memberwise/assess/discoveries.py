"""Whom an attacker could name who wants hardly any name to be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memberwise.assess.figures import AttackEvaluation, Scores
from memberwise.statistics import (
    Estimate,
    clopper_pearson,
    conformal_p_values,
    named_as_members,
)
from memberwise.types.arrays import Mask

# The share of the named that may be wrong in the mean.
FALSE_SHARE = 0.1
# Attacks without IN models, which can score population records, the strongest first.
ON_POPULATION = (
    "lira-offline-shrunk",
    "lira-offline-fixed",
    "rmia-offline",
    "lira-offline",
    "calibration",
    "attack-r",
    "loss",
)
# With fewer population records hardly anybody could be named: the smallest p-value is one over their number.
ENOUGH_POPULATION = 200
# What the rate of false names rests on.
ASSUMPTIONS = {
    "population": "population records and audited non-members come from the same source",
    "shadows": "the target was trained as the shadow models were; where it was not, more of the names are wrong",
    "half": "the target's own non-members are known to the attacker, half of them",
}


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Whom an attacker names by one attack.

    Attributes:
        false_share: the share of wrong names aimed at, in the mean.
        calibration: on what the p-values rest; n_calibration: how many scores. assumption: what that takes for granted.
        tested, named, wrong: numbers of records.
        wrong_share: of the names; None where nobody is named. found: the share of the members among the named.
    """

    attack: str
    false_share: float
    calibration: str
    n_calibration: int
    assumption: str | None
    tested: int
    named: int
    wrong: int
    wrong_share: Estimate | None
    found: Estimate


@dataclass(frozen=True, kw_only=True)
class Discoveries(Naming):
    """The ``discoveries`` of ``result.json``; ``by_shadows``: what shadow models' non-members would have calibrated."""

    by_shadows: Naming | None


def discoveries(
    evaluations: Mapping[str, AttackEvaluation],
    standing: AttackEvaluation,
    member: Mask,
    confidence: float,
    rng: np.random.Generator,
) -> Discoveries:
    """The ``discoveries`` of ``result.json``: Benjamini and Hochberg's rule on an attack's conformal p-values.

    They are calibrated on population records, known non-members of this very target, by the standing attack if it can
    score them, else by the strongest that can. With fewer than 200 such records on the non-members of shadow models in
    the target's place, which holds as far as the target was trained like them; without these on a random half of the
    target's own non-members, who are not tested then. What the standing attack names by shadow models where population
    records calibrate is in ``by_shadows``.

    ``member``: ``(n,)`` the truth.
    """
    for name in (standing.attack.name, *ON_POPULATION):
        known = evaluations[name].population if name in evaluations else None
        if known is not None and len(known.population) >= ENOUGH_POPULATION:
            part = _part(evaluations[name], known.audited, known.population, "population", member, confidence)
            return Discoveries(**vars(part), by_shadows=_by_shadows(standing, member, confidence))
    if by_shadows := _by_shadows(standing, member, confidence):
        return Discoveries(**vars(by_shadows), by_shadows=None)
    nonmembers = rng.permutation(np.flatnonzero(~np.isnan(standing.scores) & ~member))
    half, rest = nonmembers[: len(nonmembers) // 2], standing.scores.copy()
    rest[half] = np.nan
    part = _part(standing, rest, standing.scores[half], "half", member, confidence)
    return Discoveries(**vars(part), by_shadows=None)


def _by_shadows(standing: AttackEvaluation, member: Mask, confidence: float) -> Naming | None:
    if not len(standing.nonmembers):
        return None
    return _part(standing, standing.scores, standing.nonmembers, "shadows", member, confidence)


def _part(
    main: AttackEvaluation,
    scores: Scores,
    calibration: Scores,
    source: str,
    member: Mask,
    confidence: float,
) -> Naming:
    tested = ~np.isnan(scores)
    named = named_as_members(conformal_p_values(scores[tested], calibration), FALSE_SHARE)
    truth = member[tested]
    wrong, right = int((named & ~truth).sum()), int((named & truth).sum())
    return Naming(
        attack=main.attack.name,
        false_share=FALSE_SHARE,
        calibration=source,
        n_calibration=len(calibration),
        assumption=ASSUMPTIONS[source],
        tested=int(tested.sum()),
        named=wrong + right,
        wrong=wrong,
        wrong_share=_share(wrong, wrong + right, truth, confidence) if wrong + right else None,
        found=_share(right, int(truth.sum()), truth, confidence),
    )


def _share(k: int, n: int, truth: Mask, confidence: float) -> Estimate:
    low, high = clopper_pearson(k, n, confidence)
    n1 = int(truth.sum())
    return Estimate(k / n, float(low), float(high), n1, len(truth) - n1, f"Clopper-Pearson over {n} records")
