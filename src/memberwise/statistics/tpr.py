"""The true-positive rate at a fixed false-positive rate, with an interval that holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import StudyError
from memberwise.statistics.curve import few
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES, false_positives, sure_ranks
from memberwise.statistics.roc import roc_band, tpr_at
from memberwise.statistics.sides import membership
from memberwise.types.parts import FIRST

Resolvable = Literal["yes", "weak", "no"]

METHOD = "Clopper-Pearson blended over the ranks that the threshold may have among the non-members"
FEW = "Clopper-Pearson, graded over the ranks that the threshold may have among the non-members (exact)"


@dataclass(frozen=True)
class TprAtFpr(Estimate):
    """An estimate of the true-positive rate at a false-positive rate. Higher = the model tells more.

    Attributes:
        fpr: the false-positive rate, in (0, 1).
        resolvable: "no": too few non-members for any lower bound, ``low`` is 0; "weak": fewer than 10 false positives
            are expected; "yes" otherwise.
    """

    fpr: float = field(metadata=FIRST)
    resolvable: Resolvable

    def __str__(self) -> str:
        return f"TPR at FPR {self.fpr:g}: {super().__str__()}, resolvable: {self.resolvable}"


def tpr_at_fpr(scores: ArrayLike, member: ArrayLike, fpr: float, confidence: float = 0.95) -> TprAtFpr:
    """The true-positive rate at ``fpr``: value by :func:`tpr_at`, interval by :func:`roc_band`.

    Args:
        scores: ``(n,)`` HIGHER = MORE LIKELY A MEMBER, no NaN. member: ``(n,)`` booleans or 0/1.
        fpr: in (0, 1).
        confidence: of the two-sided interval.

    Raises:
        StudyError: ``fpr`` or ``confidence`` out of range. DataError: as :func:`sides`.
    """
    if not 0.0 < fpr < 1.0:
        raise StudyError("a false-positive rate is out of range", expected="a number in (0, 1)", found=repr(fpr))
    value = tpr_at(scores, member, fpr)
    low, high = roc_band(scores, member, [fpr], confidence)
    is_member = membership(member)
    n1, n0 = int(is_member.sum()), int((~is_member).sum())
    return TprAtFpr(
        value=value,
        low=float(low[0]),
        high=float(high[0]),
        n_members=n1,
        n_nonmembers=n0,
        method=FEW if few(fpr, n0) else METHOD,
        fpr=float(fpr),
        resolvable=_resolvable(fpr, n0, confidence),
    )


def auto_fprs(n_nonmembers: int) -> list[float]:
    """The decades 0.1, 0.01, ... with at least 10 expected false positives; ``[0.1]`` where even 0.1 has fewer."""
    decades = [float(f"1e-{k}") for k in range(1, len(str(n_nonmembers)) + 1)]
    return [a for a in decades if _enough(a, n_nonmembers)] or [0.1]


def _resolvable(fpr: float, n_nonmembers: int, confidence: float) -> Resolvable:
    strict, _ = sure_ranks(np.asarray(fpr), n_nonmembers, confidence)
    if strict == 0:
        return "no"
    return "yes" if _enough(fpr, n_nonmembers) else "weak"


def _enough(fpr: float, n_nonmembers: int) -> bool:
    return bool(false_positives(fpr, n_nonmembers) >= ENOUGH_FALSE_POSITIVES)
