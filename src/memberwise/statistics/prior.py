"""How often a record that is called a member is one, when members are rarer than in the audit."""

from __future__ import annotations

from memberwise.errors import StudyError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper, error_rate
from memberwise.statistics.thresholds import Counts


def ppv(counts: Counts, prior: float, confidence: float = 0.95) -> Estimate | None:
    """Positive predictive value prior TPR / (prior TPR + (1 - prior) FPR). Higher = an accusation is worth more.

    Args:
        counts: at a threshold that was not chosen on these records, else the interval means nothing.
        prior: share of members among the records the attacker asks about, in (0, 1).
        confidence: of the two-sided interval. Its low end pairs the lower bound of TPR with the upper bound of FPR,
            its high end the other two, each bound at a quarter of the error rate.

    Returns:
        The estimate, or None where nobody is called a member.

    Raises:
        StudyError: prior or confidence out of range.
    """
    if not 0.0 < prior < 1.0:
        raise StudyError("a prior is out of range", expected="a share of members in (0, 1)", found=repr(prior))
    tp, n1, fp, n0 = counts.true_positives, counts.n_members, counts.false_positives, counts.n_nonmembers
    quarter = error_rate(confidence) / 4
    if tp + fp == 0:
        return None
    tpr_low, tpr_high = (float(bound(tp, n1, quarter)) for bound in (clopper_pearson_lower, clopper_pearson_upper))
    fpr_low, fpr_high = (float(bound(fp, n0, quarter)) for bound in (clopper_pearson_lower, clopper_pearson_upper))
    return Estimate(
        value=_ppv(tp / n1, fp / n0, prior),
        low=_ppv(tpr_low, fpr_high, prior),
        high=_ppv(tpr_high, fpr_low, prior),
        n_members=n1,
        n_nonmembers=n0,
        method=f"Clopper-Pearson bounds of both rates at a prior of {prior:g}",
    )


def _ppv(tpr: float, fpr: float, prior: float) -> float:
    return prior * tpr / (prior * tpr + (1 - prior) * fpr)
