"""A lower bound on epsilon from one record in many independent training runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memberwise.errors import DataError
from memberwise.statistics.epsilon import EpsilonBound, epsilon_bound
from memberwise.statistics.thresholds import Counts
from memberwise.types.arrays import Floats, Mask

# Share of the runs on which the record and its threshold are chosen; the bound comes from the others.
CHOOSING = 0.25


def many_runs_bound(
    signals: Floats, member: Mask, *, confidence: float = 0.95, delta: float = 1e-5
) -> tuple[EpsilonBound, int]:
    """Clopper-Pearson (Jagielski et al. 2020; Nasr et al. 2021) on the runs with and without ONE record.

    The record, and the threshold halfway between its runs with and without, are chosen on the first quarter of the
    runs: those with the largest distance in units of the spread. The counts are of the other runs, which had no part
    in the choice. Runs of different records are dependent and are never added up.

    Args:
        signals: ``(m, n)`` what each run's model alone answers about each record (not a score that uses other runs),
            HIGHER = MORE LIKELY A MEMBER. Runs 2j and 2j + 1 are complementary, pairs independent of each other.
        member: ``(m, n)`` bool, the run trained on the record.

    Returns:
        The bound, and the position of the record. Where each run trained on a random half of fixed size, neighbours
        differ by one record in place of another, which ``method`` says: epsilon for adding or removing one record
        may be half of that.

    Raises:
        DataError: fewer than four pairs of runs.
    """
    pairs = len(signals) // 2
    if pairs < 4:
        raise DataError("too few runs for an epsilon bound", expected="at least 8", found=str(len(signals)))
    first = 2 * max(2, round(CHOOSING * pairs))
    inside, outside = _moments(signals[:first], member[:first]), _moments(signals[:first], ~member[:first])
    variance = (inside[1] + outside[1]) / 2
    # A spread from a handful of runs: half of it is the mean over the records.
    distance = (inside[0] - outside[0]) / np.sqrt((variance + variance.mean()) / 2 + 1e-300)
    record = int(np.argmax(distance))
    threshold = float(inside[0][record] + outside[0][record]) / 2
    tested, truth = signals[first:, record] > threshold, member[first:, record]
    counts = Counts(int((tested & truth).sum()), int(truth.sum()), int((tested & ~truth).sum()), int((~truth).sum()))
    bound = epsilon_bound(counts, confidence=confidence, delta=delta, basis="many runs")
    chosen = f"record and threshold chosen on {first} other runs; neighbours differ by one record in place of another"
    return replace(bound, method=f"{bound.method}; {chosen}"), record


def _moments(signals: Floats, side: Mask) -> tuple[Floats, Floats]:
    """``(n,)`` mean and variance of each record's signal over the runs of one side."""
    count = side.sum(0)
    mean = np.where(side, signals, 0.0).sum(0) / count
    return mean, np.where(side, np.square(signals - mean), 0.0).sum(0) / np.maximum(count - 1, 1)
