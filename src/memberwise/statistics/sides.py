"""The two sides of every figure: the scores of the members and those of the non-members."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from memberwise.errors import DataError
from memberwise.types.arrays import Array, Floats, Ints, Mask


def sides(scores: ArrayLike, member: ArrayLike) -> tuple[Floats, Floats]:
    """Check scores and split them.

    Args:
        scores: ``(n,)`` numbers, infinities allowed, no NaN. HIGHER = MORE LIKELY A MEMBER.
        member: ``(n,)`` booleans or 0/1.

    Returns:
        ``(members, nonmembers)``: the scores of each side, ascending, float64.

    Raises:
        DataError: shapes differ, a score is NaN, ``member`` is not 0/1, or a side is empty.
    """
    score = np.asarray(scores, dtype=np.float64)
    is_member = membership(member)
    if score.ndim != 1 or score.shape != is_member.shape:
        raise DataError(
            "scores and member do not fit together",
            expected="two vectors of one length",
            found=f"shapes {score.shape} and {is_member.shape}",
        )
    if missing := int(np.isnan(score).sum()):
        raise DataError(
            "some scores are NaN",
            expected="a number for every record",
            found=f"{missing} of {len(score)} are NaN",
            fix="leave out the records that the attack could not score",
        )
    members, nonmembers = np.sort(score[is_member]), np.sort(score[~is_member])
    if not len(members) or not len(nonmembers):
        raise DataError(
            "membership cannot be evaluated without both members and non-members",
            expected="at least one scored record of each",
            found=f"{len(members)} members and {len(nonmembers)} non-members with a score",
            fix="audit records of both kinds, and check that the attack could score them",
        )
    return members, nonmembers


def membership(member: ArrayLike) -> Mask:
    """``member`` as booleans, ``(n,)`` or of any other shape.

    Raises:
        DataError: it holds something else than booleans or 0/1.
    """
    values: Array = np.asarray(member)
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise DataError("member is not 0/1", expected="0 or 1 for every record", found=f"{np.unique(values)[:5]}")
    return values.astype(np.bool_)


def strictly_above(ascending: Floats, threshold: ArrayLike) -> Ints:
    """How many of the ``ascending`` scores are strictly above each threshold.

    Args:
        ascending: ``(n,)``. threshold: ``()`` or ``(...,)``, which the counts have too.
    """
    return np.asarray(len(ascending) - np.searchsorted(ascending, threshold, side="right"), dtype=np.int64)
