"""Who is probably at risk, told from one training: loss traces, the tail of the losses, and how good a ranking is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from memberwise.statistics.estimate import Estimate
from memberwise.statistics.tpr import tpr_at_fpr
from memberwise.types.arrays import Floats, Ints, Mask
from memberwise.types.parts import FIRST

# Share of the members that may lie above the loss at which the tail begins.
MISSED = 0.01


@dataclass(frozen=True, kw_only=True)
class Tail(Estimate):
    """The share of non-members whose loss is above that of all but ``missed`` of the members."""

    missed: float = field(metadata=FIRST)


def tail_share(losses: Floats, member: Mask, missed: float = MISSED, confidence: float = 0.95) -> Tail:
    """How much of the high-loss tail is the non-members' alone: what training took out of it.

    The true-negative rate of the loss attack at a small false-negative rate ("The Tail Tells All",
    arXiv:2510.19773): without a memory of its members it is ``missed``, and it predicts the TPR of attacks with shadow
    models. By symmetry it is a TPR at an FPR with the sides exchanged, and so is its interval.

    Args:
        losses: ``(n,)`` in nats. HIGHER = LESS LIKELY A MEMBER. member: ``(n,)``.
    """
    rate = tpr_at_fpr(losses, ~member, missed, confidence)
    known = {name: getattr(rate, name) for name in ("value", "low", "high", "method")}
    return Tail(missed=missed, n_members=rate.n_nonmembers, n_nonmembers=rate.n_members, **known)


def ranked_from_highest(values: Floats) -> Ints:
    """``(n,)`` places from 1, the highest value first; of equals the first, NaN behind all.

    Args:
        values: ``(n,)``, higher = more at risk.
    """
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    places = np.empty(len(values), np.int64)
    places[order] = np.arange(1, len(values) + 1)
    return places


def precision_at(values: Floats, exposed: Mask, share: float) -> float:
    """The share of the highest-ranked records that are exposed.

    Args:
        values: ``(n,)``, higher = more at risk. exposed: ``(n,)`` the truth. share: of the records that are looked at,
            at least one.
    """
    count = max(1, round(share * len(values)))
    return float(exposed[ranked_from_highest(values) <= count].mean())


def rank_correlation(values: Floats, risks: Floats) -> float:
    """Spearman's, in [-1, 1], of a ranking ``(n,)`` and personal risks ``(n,)``; 0 where one does not vary."""
    if np.ptp(values) == 0 or np.ptp(risks) == 0:
        return 0.0
    from scipy import stats

    return float(stats.spearmanr(values, risks).statistic)
