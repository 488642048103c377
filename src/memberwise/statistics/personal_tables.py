"""What chance does to a record's estimated AUC_i, tabulated by simulation: P(estimate | truth) for so many pairs.

Two kinds of noise stand in the table side by side, and the mixing distributions of ``personal`` run over both: normal
answers with the records' mean correlation within pairs, and answers with heavy tails (Student's t with 3 degrees of
freedom) with the correlation of records that have it stronger. At one AUC_i heavy tails or unequal spreads make the
estimate up to twice as uncertain as normal answers do: with these alone, records all just below a level seem to be
spread beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from memberwise.statistics.gate import LEVELS
from memberwise.types.arrays import Floats, Ints

# True AUCs of the table. No level lies on it, and each has a neighbour on either side: where all records lie just
# below a level, no mixture of values further off is like them.
NEAR = 0.0005
BESIDE = [level + side for level in LEVELS for side in (-NEAR, NEAR)]
GRID = np.unique(np.round([*np.linspace(0.0125, 0.9875, 40), 0.0015, 0.5, 0.9985, 0.9999, *BESIDE], 4))
BINS = 60
DRAWS, SEED = 10_000, 0x504552
# Scores held at once while a table is made, and differences: to so many pairs each OUT is compared with each IN.
COMPARED, DIFFERENCES, FEW = 1_000_000, 200_000, 64
LOWEST = -0.95


@dataclass(frozen=True)
class AucTable:
    """P(the estimated AUC_i falls in a bin | the true one and the noise).

    Attributes:
        edges: ``(BINS - 1,)`` between bins. probabilities: ``(kinds of noise x len(GRID), BINS)``.
    """

    edges: Floats
    probabilities: Floats

    @property
    def truths(self) -> Floats:
        """``(k,)`` the true AUC of each row: of the grid, for one kind of noise after the other."""
        return np.tile(GRID, len(self.probabilities) // len(GRID))

    def bins(self, aucs: Floats) -> Ints:
        """``(n,)`` the bins of estimated AUCs."""
        return np.searchsorted(self.edges, aucs, "right")

    def intervals(self, confidence: float) -> tuple[Floats, Floats]:
        """``(BINS,)`` ends of the interval of the true AUC in each bin: the values that it does not contradict.

        Under some noise both tails hold more than half of what is not covered, the bin itself counted in; the ends are
        the next values of the grid, so that the interval is never too short.
        """
        below = self.probabilities.cumsum(1)
        above = 1 - below + self.probabilities
        tail = (1 - confidence) / 2
        inside = np.asarray((above > tail) & (below > tail))
        held = np.any(inside.reshape(-1, len(GRID), BINS), axis=0)
        ends = np.concatenate([[0.0], GRID, [1.0]])
        first, last = held.argmax(0), len(GRID) - 1 - held[::-1].argmax(0)
        return ends[first], ends[last + 2]


def auc_table(pairs: int, correlation: float, spread: float = 0.0) -> AucTable:
    """The table for so many pairs with this correlation within, in the mean, and between records so much more or less.

    With correlation 0 it is that of as many IN and OUT models trained apart, but for the comparisons within pairs.
    """
    noises = ((rounded_down(correlation), False), (rounded_down(correlation - spread), True))
    rows = np.concatenate([_rows(pairs, within, heavy) for within, heavy in noises])
    return AucTable(_edges(), rows)


def _edges() -> Floats:
    return np.asarray(special.ndtr(np.linspace(-3.2, 3.2, BINS - 1)))


@lru_cache(maxsize=128)
def _rows(pairs: int, within: float, heavy: bool) -> Floats:
    """``(len(GRID), BINS)`` of scores of one spread on either side, normal or with heavy tails."""
    rng = np.random.default_rng([SEED, pairs])
    inside = rng.normal(size=(pairs, DRAWS))
    outside = within * inside + np.sqrt(1 - within**2) * rng.normal(size=(pairs, DRAWS))
    shifts = np.sqrt(2) * special.ndtri(GRID)
    if heavy:
        inside, outside = (special.stdtrit(3, special.ndtr(scores)) for scores in (inside, outside))
        shifts = heavy_shifts(GRID)
    estimated = (_aucs_of_few if pairs <= FEW else _shifted_aucs)(inside, outside, shifts)
    rows = [np.bincount(np.searchsorted(_edges(), aucs, "right"), minlength=BINS) / DRAWS for aucs in estimated]
    table = np.array(rows) + 0.05 / DRAWS
    return np.asarray(table / table.sum(1, keepdims=True))


def heavy_shifts(aucs: Floats) -> Floats:
    """``(k,)`` by how much one of two independent Student's t with 3 degrees of freedom is moved for each AUC ``(k,)``.

    The characteristic function of their difference is (1 + c|t|/2)^2 exp(-c|t|) with c = 2 sqrt(3), which is inverted
    term by term to its distribution.
    """
    c = 2 * np.sqrt(3)
    x = np.sinh(np.linspace(0, 12, 100_001))
    square = c * c + x * x
    above = np.arctan2(x, c) + c * x / square + c * c / 4 * 2 * c * x / square**2
    return np.asarray(np.sign(aucs - 0.5) * np.interp(np.abs(aucs - 0.5), above / np.pi, x))


def _shifted_aucs(inside: Floats, outside: Floats, shifts: Floats) -> Floats:
    """``(k, n)``: ``cross_pair_auc`` with each of k shifts added to the IN scores ``(p, n)``; as good as no ties.

    OUT scores are sorted, those of each record in a stretch of its own, so that one search serves many records.
    """
    pairs, n = inside.shape
    wins = np.empty((len(shifts), n))
    low, high = outside.min() - 1, outside.max() + 1
    size = max(1, COMPARED // (pairs * len(shifts)))
    for first in range(0, n, size):
        part = slice(first, first + size)
        shifted = inside[:, part].T + shifts[:, None, None]
        stretches = (high - low) * np.arange(shifted.shape[1])[:, None]
        below = (np.sort(outside[:, part], 0).T + stretches).ravel()
        counts = np.searchsorted(below, np.clip(shifted, low, high) + stretches).sum(2)
        within = (shifted > outside[:, part].T).sum(2)
        wins[:, part] = counts - pairs * pairs * np.arange(shifted.shape[1]) - within
    return np.asarray(wins / (pairs * (pairs - 1)))


def _aucs_of_few(inside: Floats, outside: Floats, shifts: Floats) -> Floats:
    """``(k, n)``: the same, to the bit, where pairs are few: how far each IN score is from beating each OUT score.

    Args:
        shifts: ``(k,)``, ascending.
    """
    pairs, n = inside.shape
    wins = np.empty((n, len(shifts) + 1))
    size, apart = max(1, DIFFERENCES // pairs**2), ~np.eye(pairs, dtype=bool)
    for first in range(0, n, size):
        part = slice(first, first + size)
        wanting = (outside[:, None, part] - inside[None, :, part])[apart]
        count = wanting.shape[1]
        places = np.searchsorted(shifts, wanting, "right") + wins.shape[1] * np.arange(count)
        wins[part] = np.bincount(places.ravel(), minlength=count * wins.shape[1]).reshape(count, -1)
    return np.asarray(wins.cumsum(1)[:, :-1].T / (pairs * (pairs - 1)))


def rounded_down(correlation: float) -> float:
    """A multiple of 0.05, downwards: a more negative correlation makes AUC_i the more uncertain."""
    return max(LOWEST, float(round(np.floor(correlation / 0.05 + 1e-9) * 0.05, 2)))
