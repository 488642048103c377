"""Thresholds that an attacker can really have: chosen on shadow models for a rate, then judged on the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import DataError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import clopper_pearson
from memberwise.statistics.order import false_positives
from memberwise.statistics.prior import ppv
from memberwise.statistics.sides import membership, strictly_above
from memberwise.statistics.thresholds import Counts, Threshold, decide
from memberwise.types.arrays import Floats
from memberwise.types.parts import Plain, to_plain

PRIORS = (0.01, 0.1, 0.5)
# A rate whose whole interval is off by less than this factor still holds: models trained alike differ, too.
TOLERATED = 1.5


@dataclass(frozen=True)
class NameValue:
    """How often a record that is called a member is one.

    Attributes:
        prior: the share of members among those asked about. fpr: the rate that the threshold aims at.
        value, low, high: the share with its interval; None where nobody is called a member.
    """

    prior: float
    fpr: float
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class CorrectedThreshold:
    """The threshold that gives the rate on population records of the target, and what it gives on the target."""

    threshold: float
    chosen_on: str
    realised_fpr: Estimate
    tpr: Estimate
    ppv: tuple[NameValue, ...]


@dataclass(frozen=True)
class CarriedThreshold:
    """A threshold from shadow models and what it gives on the target, as ``result.json`` holds it (see ``Carried``)."""

    fpr: float
    threshold: float
    realised_fpr: Estimate
    tpr: Estimate
    holds: bool = True
    population_fpr: Estimate | None = None
    corrected: CorrectedThreshold | None = None


@dataclass(frozen=True)
class Carried:
    """A threshold chosen for a false-positive rate elsewhere, and what it gives on the target.

    Attributes:
        fpr: the rate aimed at. threshold: members = score strictly above it.
        realised_fpr, tpr: on the target, with Clopper-Pearson intervals: the threshold owes nothing to its records.
        counts: what both are computed from.
        population_fpr: on population records, which an attacker, too, knows to be non-members; None without.
        corrected: the same for the threshold that gives the rate on population records of this target; None without.
    """

    fpr: float
    threshold: float
    realised_fpr: Estimate
    tpr: Estimate
    counts: Counts
    population_fpr: Estimate | None = None
    corrected: Carried | None = None

    @property
    def holds(self) -> bool:
        """Whether the rate aimed at is the target's: False where an interval lies off it, by more than 1.5 times."""
        return not any(_off(rate, self.fpr) for rate in (self.population_fpr, self.realised_fpr) if rate is not None)

    def figures(self, confidence: float = 0.95) -> CarriedThreshold:
        """As ``result.json`` holds it; ``confidence`` is of the PPV's intervals."""
        better = self.corrected
        return CarriedThreshold(
            fpr=self.fpr,
            threshold=self.threshold,
            realised_fpr=self.realised_fpr,
            tpr=self.tpr,
            holds=self.holds,
            population_fpr=self.population_fpr,
            corrected=None
            if better is None
            else CorrectedThreshold(
                better.threshold, "population", better.realised_fpr, better.tpr, better.values_of_a_name(confidence)
            ),
        )

    def to_dict(self, confidence: float = 0.95) -> Plain:
        """``figures`` as plain values."""
        return to_plain(self.figures(confidence))

    def values_of_a_name(self, confidence: float = 0.95) -> tuple[NameValue, ...]:
        """For each prior how often a record that is called a member is one; None where nobody is called one."""
        values = [(prior, ppv(self.counts, prior, confidence)) for prior in PRIORS]
        return tuple(
            NameValue(prior, self.fpr, None, None, None)
            if value is None
            else NameValue(prior, self.fpr, value.value, value.low, value.high)
            for prior, value in values
        )


def nonmember_scores(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Floats:
    """The scores of all non-members of several models, ``(k,)``; NaN are left out.

    Args:
        pairs: for each model its ``(n,)`` scores and membership.
    """
    parts = [np.asarray(scores, dtype=np.float64)[~membership(member)] for scores, member in pairs]
    together = np.concatenate(parts) if parts else np.zeros(0)
    return together[~np.isnan(together)]


def threshold_at_fpr(nonmembers: ArrayLike, fpr: float) -> float:
    """The (floor(fpr k) + 1)-th largest of ``(k,)`` non-member scores: at most that share lies strictly above it.

    Raises:
        DataError: there are no scores.
    """
    descending = np.sort(np.asarray(nonmembers, dtype=np.float64))[::-1]
    if not len(descending):
        raise DataError("no threshold can be chosen", expected="scores of non-members", found="none")
    return float(descending[min(int(false_positives(fpr, len(descending))), len(descending) - 1)])


def sure_threshold(known: ArrayLike, fpr: float) -> float | None:
    """The floor(fpr (k + 1))-th largest of the target's own scores of ``(k,)`` known non-members.

    Another non-member, exchangeable with them, lies strictly above it with probability ``fpr`` at most; None where k is
    too small for that.
    """
    descending = np.sort(np.asarray(known, dtype=np.float64))[::-1]
    rank = int(false_positives(fpr, len(descending) + 1))
    return float(descending[min(rank, len(descending)) - 1]) if rank else None


def carry_over(
    scores: ArrayLike,
    member: ArrayLike,
    shadow_nonmembers: ArrayLike,
    fpr: float,
    confidence: float = 0.95,
    population: tuple[ArrayLike, ArrayLike] | None = None,
) -> Carried:
    """Choose the threshold for ``fpr`` on the shadow models' non-members and judge it on the target.

    Args:
        scores: ``(n,)`` of the target, HIGHER = MORE LIKELY A MEMBER, NaN = left out. member: ``(n,)`` the truth.
        population: the target's scores ``(n,)`` of the audited records and ``(k,)`` of records that are known to be
            non-members, in one table.

    Raises:
        DataError: a side of the target, or the shadow models' scores, are empty.
    """
    score, is_member = np.asarray(scores, dtype=np.float64), membership(member)

    def at(threshold: float, score: Floats) -> Carried:
        scored = ~np.isnan(score)
        decision = decide(score[scored], is_member[scored], Threshold(threshold, "shadows"), confidence)
        return Carried(fpr, threshold, decision.false_positive_rate, decision.recall, decision.counts)

    carried = at(threshold_at_fpr(shadow_nonmembers, fpr), score)
    if population is None:
        return carried
    audited, known = np.asarray(population[0], dtype=np.float64), np.sort(np.asarray(population[1], dtype=np.float64))
    sure = sure_threshold(known, fpr)
    return replace(
        carried,
        population_fpr=_share_above(known, carried.threshold, confidence),
        corrected=None if sure is None else at(sure, audited),
    )


def _share_above(ascending: Floats, threshold: float, confidence: float) -> Estimate:
    k, n = int(strictly_above(ascending, threshold)), len(ascending)
    low, high = clopper_pearson(k, n, confidence)
    return Estimate(k / n, float(low), float(high), 0, n, "Clopper-Pearson over population records")


def _off(rate: Estimate, fpr: float) -> bool:
    return (rate.low or 0.0) > TOLERATED * fpr or (1.0 if rate.high is None else rate.high) < fpr / TOLERATED
