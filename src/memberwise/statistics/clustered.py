"""The true-positive rate over pairs of a record and a model, of which those of one record are not independent."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from memberwise.errors import DataError
from memberwise.statistics.estimate import Estimate
from memberwise.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper, error_rate
from memberwise.statistics.order import ENOUGH_FALSE_POSITIVES, false_positives, sure_ranks
from memberwise.statistics.tpr import Resolvable, TprAtFpr
from memberwise.types.arrays import Floats, Ints, Mask

DRAWS = 1000
METHOD = "order statistics of the non-member pairs, bootstrap over {} records and Clopper-Pearson, the wider of the two"
ZERO = "share above all {} non-member pairs of {} records, bootstrap over records and Clopper-Pearson, the wider"


@dataclass(frozen=True)
class Pairs:
    """Scores of all pairs of a record and a model that took the target's place.

    Attributes:
        scores: ``(m, n)`` HIGHER = MORE LIKELY A MEMBER, NaN = pair left out.
        member: ``(m, n)`` bool, the model trained on the record.
        draws: ``(b, n)`` how often each record is in each bootstrap draw.
    """

    scores: Floats
    member: Mask
    draws: Ints

    @classmethod
    def of(cls, scores: Floats, member: Mask, rng: np.random.Generator, draws: int = DRAWS) -> Pairs:
        """Pairs of records and models, with the bootstrap's draws.

        Args:
            scores: ``(m, n)``, NaN where there is none. member: ``(m, n)``. draws: how often records are drawn anew.

        Raises:
            DataError: no member pair or no non-member pair has a score.
        """
        scored = ~np.isnan(scores)
        if not (scored & member).any() or not (scored & ~member).any():
            raise DataError("pairs of one side only", expected="scored pairs with and without training on the record")
        n = scores.shape[1]
        return cls(scores, member, rng.multinomial(n, np.full(n, 1 / n), size=draws))

    @cached_property
    def nonmembers(self) -> Floats:
        """``(k,)`` scores of the non-member pairs, ascending."""
        return np.sort(self.scores[~self.member & ~np.isnan(self.scores)])

    def share_above(self, threshold: float, of: Mask) -> tuple[int, int, Floats]:
        """Pairs of a side above a threshold, pairs of that side, and that share in each bootstrap draw.

        Args:
            of: ``(m, n)``, which pairs the side has.

        Returns:
            Two counts and ``(draws,)`` shares.
        """
        of = of & ~np.isnan(self.scores)
        above = (of & (self.scores > threshold)).sum(0)
        return int(above.sum()), int(of.sum()), (self.draws @ above) / np.maximum(self.draws @ of.sum(0), 1)


def tpr_of_pairs(pairs: Pairs, fpr: float, confidence: float = 0.95) -> TprAtFpr:
    """The true-positive rate over all pairs at a false-positive rate over all pairs, with an interval.

    Pairs of one record are not independent: the error rate is spent in quarters, one for the rank of the threshold and
    one for the share of members above it, on each side, and each of these four bounds is the wider of Clopper-Pearson's
    over pairs and a percentile of the bootstrap over records.

    Args:
        fpr: in (0, 1). ``resolvable`` is "weak", too, where fewer than 10 records are behind the false positives.
        pairs: of ``(m, n)`` scores.
    """
    n0, quarter = len(pairs.nonmembers), error_rate(confidence) / 4
    rank = int(false_positives(fpr, n0)) + 1
    value, n1 = _share(pairs, _score_at(pairs, rank))
    strict, generous = _bootstrap_ranks(pairs, fpr, confidence)
    low = 0.0 if strict == 0 else _bounds(pairs, _score_at(pairs, strict), quarter)[0]
    high = 1.0 if generous > n0 else _bounds(pairs, _score_at(pairs, generous), quarter)[1]
    accused = int(((pairs.scores > _score_at(pairs, rank)) & ~pairs.member).any(0).sum())
    resolvable: Resolvable = "yes"
    if min(int(false_positives(fpr, n0)), accused) < ENOUGH_FALSE_POSITIVES:
        resolvable = "weak"
    return TprAtFpr(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n_members=n1,
        n_nonmembers=n0,
        method=METHOD.format(pairs.scores.shape[1]),
        fpr=fpr,
        resolvable=resolvable if strict else "no",
    )


def tpr_at_no_false_positive(pairs: Pairs, confidence: float = 0.95) -> Estimate:
    """The share of member pairs above every non-member pair; the interval is of that share at that threshold.

    Args:
        pairs: of ``(m, n)`` scores.
    """
    threshold = float(pairs.nonmembers[-1])
    value, n1 = _share(pairs, threshold)
    low, high = _bounds(pairs, threshold, error_rate(confidence) / 2)
    n0 = len(pairs.nonmembers)
    return Estimate(value, low, high, n1, n0, ZERO.format(n0, pairs.scores.shape[1]))


def _score_at(pairs: Pairs, rank: int) -> float:
    """The rank-th largest score of the non-member pairs."""
    return float(pairs.nonmembers[len(pairs.nonmembers) - min(rank, len(pairs.nonmembers))])


def _share(pairs: Pairs, threshold: float) -> tuple[float, int]:
    above, n1, _ = pairs.share_above(threshold, pairs.member)
    return above / n1, n1


def _bounds(pairs: Pairs, threshold: float, error: float) -> tuple[float, float]:
    """Bounds of the share of member pairs above a fixed threshold, each missed with probability ``error``."""
    above, n1, drawn = pairs.share_above(threshold, pairs.member)
    low, high = np.quantile(drawn, [error, 1 - error])
    return (
        min(float(low), float(clopper_pearson_lower(above, n1, error))),
        max(float(high), float(clopper_pearson_upper(above, n1, error))),
    )


def _bootstrap_ranks(pairs: Pairs, fpr: float, confidence: float) -> tuple[int, int]:
    """As :func:`sure_ranks`, and sure under the bootstrap over records, too."""
    n0, quarter = len(pairs.nonmembers), error_rate(confidence) / 4
    strict, generous = (int(rank) for rank in sure_ranks(np.asarray(fpr), n0, confidence))
    nonmember = ~pairs.member

    def too_many(rank: int) -> bool:  # so many pairs have the score at the rank or a higher one
        threshold = float(np.nextafter(_score_at(pairs, rank), -np.inf))
        return bool(np.quantile(pairs.share_above(threshold, nonmember)[2], 1 - quarter) > fpr)

    def enough(rank: int) -> bool:
        return bool(np.quantile(pairs.share_above(_score_at(pairs, rank), nonmember)[2], quarter) >= fpr)

    # Both shares grow with the rank, in every draw and so in every quantile.
    strict = bisect_left(range(1, strict + 1), True, key=too_many)
    return strict, generous + bisect_left(range(generous, n0 + 1), True, key=enough)
