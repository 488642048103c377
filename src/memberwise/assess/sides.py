"""What complementary pairs of shadow models say of each record, gone through some records at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memberwise.assess.turns import clusters_of
from memberwise.attacks.in_out import CHUNK_VALUES
from memberwise.signals.streamed import release
from memberwise.signals.table import Signals
from memberwise.statistics.personal import (
    auc_by_pair,
    correlation_spread,
    correlations_within,
    cross_pair_auc,
    mean_correlation,
    shared_drift,
    spread_out,
)
from memberwise.types.arrays import Floats, Ints

# Fewer complementary pairs say too little about one record; of more the first are taken: intervals are no finer.
FEWEST_PAIRS, MOST_PAIRS = 8, 256


@dataclass(frozen=True)
class Sides:
    """What the pairs say of ``r`` records.

    Attributes:
        pairs: how many. rows: ``(r,)`` positions of the records that every pair splits.
        aucs: ``(r,)`` estimated AUC_i. by_pair: ``(p, r)`` float32, what each pair says of it; it is their mean.
        in_score, out_score: ``(r,)`` mean scaled logits of the IN and OUT models.
        correlation: of a record's IN and OUT score within a pair, in the mean. spread: of it, between records.
        inflation: by how much the likelihood of all records together is flatter than that of independent ones,
            1 + r tau^2 / pairs: tau^2 is their mean squared correlation over models of one side, beyond chance.
    """

    pairs: int
    rows: Ints
    aucs: Floats
    by_pair: NDArray[np.float32]
    in_score: Floats
    out_score: Floats
    correlation: float
    spread: float
    inflation: float


def pair_sides(signals: Signals) -> Sides | None:
    """What complete complementary pairs say; None where there are too few, or the answers are labels."""
    if signals.shadows is None or signals.shadows.kind == "labels":
        return None
    pairs = complete_pairs(clusters_of(signals.trained_on))[:MOST_PAIRS]
    if len(pairs) < FEWEST_PAIRS:
        return None
    parts: list[tuple[Ints, Floats, Floats, Floats, Floats]] = []
    by_pair, filled = np.empty((len(pairs), signals.records), np.float32), 0
    step = max(1, CHUNK_VALUES // (pairs.size * signals.shadows.queries))
    for first in range(0, signals.records, step):
        rows, inside, outside = _scores(signals, pairs, np.arange(first, min(first + step, signals.records)))
        correlations = correlations_within(inside, outside)
        by_pair[:, filled : filled + len(rows)] = auc_by_pair(inside, outside)
        filled += len(rows)
        parts.append((rows, cross_pair_auc(inside, outside), inside.mean(0), outside.mean(0), correlations))
    rows, aucs, in_score, out_score, correlations = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(rows):
        return None
    _, inside, outside = _scores(signals, pairs, rows[spread_out(len(rows))])
    drift = shared_drift(np.concatenate([inside - inside.mean(0), outside - outside.mean(0)]))
    correlation = mean_correlation(correlations, len(pairs))
    spread, inflation = correlation_spread(correlations, len(pairs)), 1 + len(rows) * drift / len(pairs)
    return Sides(len(pairs), rows, aucs, by_pair[:, : len(rows)], in_score, out_score, correlation, spread, inflation)


def complete_pairs(clusters: Ints) -> Ints:
    """``(p, 2)`` numbers of the models of each complementary pair, from ``(m,)`` numbers of clusters."""
    pairs = [np.flatnonzero(clusters == one) for one in np.flatnonzero(np.bincount(clusters) == 2)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _scores(signals: Signals, pairs: Ints, rows: Ints) -> tuple[Ints, Floats, Floats]:
    """Those of the rows ``(r,)`` that every pair splits and answers, with their IN and OUT scores ``(p, r)``."""
    shadows = signals.shadows
    assert shadows is not None
    sides: list[tuple[Floats, NDArray[np.int8]]] = []
    for side in (0, 1):
        of = np.ix_(pairs[:, side], rows)
        log_p, log_1mp = np.ascontiguousarray(shadows.log_p[of]), np.ascontiguousarray(shadows.log_1mp[of])
        phi = (log_p.astype(np.float64) - log_1mp).mean(2)
        sides.append((phi, signals.trained_on[of]))
    release(shadows.log_p, shadows.log_1mp)
    (first, in_first), (second, in_second) = sides
    usable = (in_first + in_second == 1).all(0)
    usable &= np.isfinite(first).all(0) & np.isfinite(second).all(0)
    one, two, of_first = first[:, usable], second[:, usable], in_first[:, usable] == 1
    return rows[usable], np.where(of_first, one, two), np.where(of_first, two, one)
