"""A lower bound on the epsilon of differential privacy from counts at a threshold fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import StudyError
from memberwise.statistics.intervals import clopper_pearson_lower, error_rate
from memberwise.statistics.sides import membership
from memberwise.statistics.thresholds import OPTIMISTIC, Counts, Threshold, count_evaluated
from memberwise.types.parts import LEFT_OUT, Plain, to_plain

Basis = Literal["one-run coins", "many runs", "records of one run (descriptive)"]
DESCRIPTIVE: Basis = "records of one run (descriptive)"


@dataclass(frozen=True)
class EpsilonBound:
    """A lower bound on epsilon. Higher = the training is proven to tell more.

    Attributes:
        value: at least 0.
        confidence: probability that the bound is true, where ``basis`` makes it one.
        delta: of (epsilon, delta)-differential privacy.
        method: how it was computed, and the most that these numbers of records could have shown.
        basis: what the counts are counts of. Records of one run are not independent: that bound only describes, and
            may not be gated on.
        if_gaussian: the larger bound that holds if the training tells no more than a Gaussian mechanism of some size
            (a Gaussian release; DP-SGD closely): an assumption, not a finding. None where it was not computed.
        record: row number of the one record that "many runs" are about; None otherwise.
    """

    value: float
    confidence: float
    delta: float
    method: str
    basis: Basis
    if_gaussian: float | None = field(default=None, metadata=LEFT_OUT)
    record: int | None = field(default=None, metadata=LEFT_OUT)

    def to_dict(self) -> Plain:
        return to_plain(self)


def epsilon_bound(
    counts: Counts, *, confidence: float = 0.95, delta: float = 1e-5, basis: Basis = "many runs"
) -> EpsilonBound:
    """Clopper-Pearson lower bound on epsilon (Nasr et al. 2021; Jagielski et al. 2020, in both directions).

    An (epsilon, delta)-private mechanism has TPR <= e^epsilon FPR + delta and TNR <= e^epsilon FNR + delta. The lower
    bounds of TPR and TNR, at half of the error rate each, hold jointly and give the upper bounds of FNR and FPR.

    Args:
        counts: of independent runs (drawn with and without the record), at a threshold FIXED BEFOREHAND: the best of
            several thresholds on the same counts would not be a bound.
        confidence: joint confidence of both directions.
        delta: in [0, 1).
        basis: what was counted.

    Raises:
        StudyError: confidence or delta out of range.
    """
    check_delta(delta)
    n1, n0 = counts.n_members, counts.n_nonmembers
    value = _bound(counts, confidence, delta)
    most = _bound(Counts(n1, n1, 0, n0), confidence, delta)
    method = f"Clopper-Pearson at a threshold fixed beforehand; {n1} + {n0} could show at most {most:.2f}"
    return EpsilonBound(value=value, confidence=confidence, delta=delta, method=method, basis=basis)


def epsilon_of_records(
    scores: ArrayLike, member: ArrayLike, threshold: Threshold, *, confidence: float = 0.95, delta: float = 1e-5
) -> EpsilonBound:
    """The audit's descriptive bound: :func:`epsilon_bound` with the records of one run in place of runs.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, NaN = not scored (left out). member: ``(n,)``.
        threshold: chosen elsewhere; one searched on the evaluated records is refused.

    Raises:
        StudyError: the threshold is "audited (optimistic)". DataError: as :func:`sides`.
    """
    if threshold.chosen_on == OPTIMISTIC:
        raise StudyError(
            "an epsilon bound needs a threshold that was not chosen on the records it is evaluated on",
            expected="a threshold from shadow models, the population or another half of the records",
            found=f"one chosen on: {threshold.chosen_on}",
        )
    score = np.asarray(scores, dtype=np.float64)
    evaluated = ~np.isnan(score) if threshold.evaluated is None else threshold.evaluated & ~np.isnan(score)
    counts = count_evaluated(score, membership(member), Threshold(threshold.value, threshold.chosen_on, evaluated))
    return epsilon_bound(counts, confidence=confidence, delta=delta, basis=DESCRIPTIVE)


def check_delta(delta: float) -> None:
    """StudyError unless delta lies in [0, 1)."""
    if not 0.0 <= delta < 1.0:
        raise StudyError("delta is out of range", expected="a number in [0, 1)", found=repr(delta))


def _bound(counts: Counts, confidence: float, delta: float) -> float:
    half = error_rate(confidence) / 2
    tpr = float(clopper_pearson_lower(counts.true_positives, counts.n_members, half))
    tnr = float(clopper_pearson_lower(counts.n_nonmembers - counts.false_positives, counts.n_nonmembers, half))
    ratios = ((tpr - delta) / (1 - tnr), (tnr - delta) / (1 - tpr))
    return max([0.0, *(log(ratio) for ratio in ratios if ratio > 0)])
