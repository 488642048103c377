"""Thresholds that an attacker can really have: chosen on shadow models for a rate, then judged on the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import DataError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.order import false_positives
from memberwise.statistics.prior import ppv
from memberwise.statistics.sides import Floats, membership
from memberwise.statistics.thresholds import Counts, Threshold, decide

PRIORS = (0.01, 0.1, 0.5)


@dataclass(frozen=True)
class Carried:
    """A threshold chosen for a false-positive rate on shadow models, and what it gives on the target.

    Attributes:
        fpr: the rate aimed at. threshold: members = score strictly above it.
        realised_fpr, tpr: on the target, with Clopper-Pearson intervals: the threshold owes nothing to its records.
        counts: what both are computed from.
    """

    fpr: float
    threshold: float
    realised_fpr: Estimate
    tpr: Estimate
    counts: Counts

    def to_dict(self) -> dict[str, Any]:
        return {
            "fpr": self.fpr,
            "threshold": self.threshold,
            "realised_fpr": self.realised_fpr.to_dict(),
            "tpr": self.tpr.to_dict(),
        }

    def values_of_a_name(self, confidence: float = 0.95) -> list[dict[str, Any]]:
        """For each prior how often a record that is called a member is one; null where nobody is called one."""
        found = [(prior, ppv(self.counts, prior, confidence)) for prior in PRIORS]
        return [
            {
                "prior": prior,
                "fpr": self.fpr,
                "value": value and value.value,
                "low": value and value.low,
                "high": value and value.high,
            }
            for prior, value in found
        ]


def nonmember_scores(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Floats:
    """The scores of all non-members of several models, given as (scores, membership); NaN are left out."""
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


def carry_over(
    scores: ArrayLike, member: ArrayLike, shadow_nonmembers: ArrayLike, fpr: float, confidence: float = 0.95
) -> Carried:
    """Choose the threshold for ``fpr`` on the shadow models' non-members and judge it on the target.

    Args:
        scores: ``(n,)`` of the target, HIGHER = MORE LIKELY A MEMBER, NaN = left out. member: ``(n,)`` the truth.

    Raises:
        DataError: a side of the target, or the shadow models' scores, are empty.
    """
    score, is_member = np.asarray(scores, dtype=np.float64), membership(member)
    scored = ~np.isnan(score)
    threshold = threshold_at_fpr(shadow_nonmembers, fpr)
    decision = decide(score[scored], is_member[scored], Threshold(threshold, "shadows"), confidence)
    return Carried(fpr, threshold, decision.false_positive_rate, decision.recall, decision.counts)
