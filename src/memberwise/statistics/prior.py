"""How often a record that is called a member is one, when members are rarer than in the audit."""

from __future__ import annotations

from math import exp, inf

import numpy as np
from scipy import optimize, special

from memberwise.errors import StudyError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import error_rate
from memberwise.statistics.thresholds import Counts

METHOD = "Clopper-Pearson distributions of both rates, convolved"

# Normal quantiles, and their weights, at which the doubt about the false-positive rate is read.
_Z = np.linspace(-6.0, 6.0, 121)
_DENSITY = np.exp(-(_Z**2) / 2.0) / np.sqrt(2 * np.pi)
_WEIGHTS = _DENSITY / _DENSITY.sum()


def ppv(counts: Counts, prior: float, confidence: float = 0.95) -> Estimate | None:
    """Positive predictive value prior TPR / (prior TPR + (1 - prior) FPR). Higher = an accusation is worth more.

    Args:
        counts: at a threshold that was not chosen on these records, else the interval means nothing.
        prior: share of members among the records the attacker asks about, in (0, 1).
        confidence: of the two-sided interval: that of :func:`ratio_interval`, of which the value is a function.

    Returns:
        The estimate, or None where nobody is called a member.

    Raises:
        StudyError: prior or confidence out of range.
    """
    if not 0.0 < prior < 1.0:
        raise StudyError("a prior is out of range", expected="a share of members in (0, 1)", found=repr(prior))
    tp, n1, fp, n0 = counts.true_positives, counts.n_members, counts.false_positives, counts.n_nonmembers
    half = error_rate(confidence) / 2
    if tp + fp == 0:
        return None
    low, high = ratio_interval(counts, half)
    value = (tp / n1) / (fp / n0) if fp else inf
    return Estimate(
        value=_ppv(value, prior),
        low=_ppv(low, prior),
        high=_ppv(high, prior),
        n_members=n1,
        n_nonmembers=n0,
        method=f"{METHOD}, at a prior of {prior:g}",
    )


def ppv_at(tpr: Estimate, fpr: float, prior: float) -> Estimate | None:
    """Positive predictive value at a false-positive rate that is known: a function of the TPR, as are its ends.

    Args:
        tpr: at the rate ``fpr``, with its interval. fpr: in [0, 1]. prior: share of members among the records the
            attacker asks about, in (0, 1).

    Returns:
        The estimate, higher = an accusation is worth more; None where nobody is called a member.
    """
    if tpr.value <= 0 and fpr <= 0:
        return None

    def worth(rate: float | None) -> float | None:
        return None if rate is None else prior * rate / (prior * rate + (1 - prior) * fpr) if rate or fpr else 0.0

    value = worth(tpr.value) or 0.0
    return Estimate(value, worth(tpr.low), worth(tpr.high), tpr.n_members, tpr.n_nonmembers, tpr.method)


def ratio_interval(counts: Counts, error: float) -> tuple[float, float]:
    """Bounds of TPR / FPR, each missed with probability ``error``; 0 and infinity where nothing bounds it.

    The low end is the ``error`` quantile of Beta(tp, n1 - tp + 1) / Beta(fp + 1, n0 - fp), whose quantiles are
    Clopper-Pearson's lower bounds of TPR and upper bounds of FPR; the high end that of the other two (the fiducial
    argument: Krishnamoorthy and Lee 2010, Inference for functions of parameters in discrete distributions).
    """
    tp, n1, fp, n0 = counts.true_positives, counts.n_members, counts.false_positives, counts.n_nonmembers
    low = _quotient(tp, n1, fp, n0, error) if tp else 0.0
    high = 1.0 / _quotient(fp, n0, tp, n1, error) if fp else inf
    return low, high


def _quotient(k: int, n: int, j: int, m: int, error: float) -> float:
    """The ``error`` quantile of Beta(k, n - k + 1) / Beta(j + 1, m - j); k > 0."""
    below = special.betaincinv(j + 1, m - j, special.ndtr(_Z)) if j < m else np.ones(len(_Z))

    def share(log_ratio: float) -> float:
        reach = np.minimum(exp(log_ratio) * below, 1.0)
        return float(_WEIGHTS @ special.betainc(k, n - k + 1, reach)) - error

    first = np.log(special.betaincinv(k, n - k + 1, error * 1e-3) / below.max())
    last = -np.log(below.min())
    return exp(float(optimize.brentq(share, first, last, xtol=1e-10)))


def _ppv(ratio: float, prior: float) -> float:
    return 1.0 if ratio == inf else prior * ratio / (prior * ratio + 1 - prior)
