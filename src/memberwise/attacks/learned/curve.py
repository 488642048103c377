"""What a model is expected to answer about records it did not see, by its own answers about a population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memberwise.types.arrays import Floats, Ints

# Bins of the curve of a model's population answers over those of the shadow models.
BINS = 25
TINY = 1e-9


@dataclass(frozen=True)
class Bins:
    """Population records in bins of equal counts, by the shadow models' mean answer.

    Attributes:
        order: ``(z,)`` positions, ascending by it. starts: ``(b,)`` of each bin; counts, centre: ``(b,)``.
    """

    order: Ints
    starts: Ints
    counts: Ints
    centre: Floats

    @classmethod
    def of(cls, population: Floats) -> Bins:
        """Of the shadow models' means, ``(z,)``."""
        order = np.argsort(population, kind="stable")
        bins = min(BINS, max(1, len(order) // 4))
        starts = np.linspace(0, len(order), bins, endpoint=False).astype(np.int64)
        counts = np.diff(np.append(starts, len(order)))
        return cls(order, starts, counts, np.add.reduceat(population[order], starts) / counts)


def beyond_curve(x: Floats, outside: Floats, population: Floats, bins: Bins) -> tuple[Floats, Floats]:
    """``(n,)`` answers less what the model is expected to give a record it did not see, and how that spreads.

    Expected from the model's own population answers as a function of the shadow models': ``BINS`` bins of equal
    counts, smoothed, linear in between.

    Args:
        x, outside: ``(n,)`` the model's answers, and the OUT models' means. population: ``(z,)`` its population
            answers. bins: of these records, by the shadow models' means.
    """
    values, middle = population[bins.order], float(population.mean())
    level = np.add.reduceat(values, bins.starts) / bins.counts
    squares = np.add.reduceat((values - middle) ** 2, bins.starts) / bins.counts - (level - middle) ** 2
    level, spread = _smooth(level), _smooth(np.sqrt(np.maximum(squares, 0.0)))
    spread = np.maximum(spread, 0.1 * spread.mean() + TINY)
    return x - np.interp(outside, bins.centre, level), np.sqrt(np.interp(outside, bins.centre, spread) ** 2 + 1e-6)


def _smooth(values: Floats) -> Floats:
    return np.convolve(np.pad(values, 1, mode="edge"), [0.25, 0.5, 0.25], "valid")


def share_of_gap(residual: Floats, gap: Floats, members: float) -> float:
    """What share of the gap between shadow models ``(n,)`` the own members of a model show, so many of all records."""
    known = np.isfinite(residual) & np.isfinite(gap)
    squares = float((gap[known] ** 2).sum())
    return float(np.clip((residual[known] * gap[known]).sum() / max(members * squares, TINY), 0.1, 2.0))
