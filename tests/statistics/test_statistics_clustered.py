"""TPR over pairs: against slow loops, and coverage where the pairs of one record are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memberwise.errors import DataError
from memberwise.statistics import Pairs, tpr_at_no_false_positive, tpr_of_pairs


def paired(rng: Any, m: Any, n: Any) -> Any:
    half = rng.random((m // 2, n)).argsort(1) < n // 2
    return np.stack([half, ~half], 1).reshape(m, n)


def drawn(rng: Any, n: Any, m: Any, shift: Any, level: Any, spread: Any) -> tuple[Any, Any]:
    """Scores whose level and spread belong to the record: its pairs are anything but independent."""
    member = paired(rng, m, n)
    scores = rng.normal(0, level, n) + np.exp(rng.normal(0, spread, n)) * rng.normal(size=(m, n)) + shift * member
    return scores, member


@pytest.mark.parametrize("fpr", [0.1, 0.011, 0.001])
def test_values_by_sorting(fpr: float) -> None:
    rng = np.random.default_rng(1)
    scores, member = drawn(rng, 60, 20, 1.5, 0.4, 0.3)
    scores = np.round(scores, 1)  # ties
    scores[3, :7] = np.nan
    pairs = Pairs.of(scores, member, rng)
    out, inside = sorted(scores[~member & ~np.isnan(scores)], reverse=True), scores[member & ~np.isnan(scores)]
    estimate = tpr_of_pairs(pairs, fpr)
    assert estimate.value == pytest.approx(np.mean(inside > out[int(fpr * len(out))]))
    assert (estimate.n_members, estimate.n_nonmembers) == (len(inside), len(out))
    assert tpr_at_no_false_positive(pairs).value == pytest.approx(np.mean(inside > out[0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m", "shift", "level", "spread"),
    [(200, 16, 0.0, 0.3, 0.3), (200, 16, 2.0, 0.5, 0.5), (100, 16, 3.0, 0.5, 0.5)],
)
def test_intervals_cover_although_pairs_are_dependent(
    n: int, m: int, shift: float, level: float, spread: float
) -> None:
    rng = np.random.default_rng(2)
    scores, member = drawn(rng, 100_000, 16, shift, level, spread)
    rates = (0.1, 0.01, 0.001)
    truth = [np.mean(scores[member] > cut) for cut in np.quantile(scores[~member], [1 - rate for rate in rates])]
    covered = np.zeros(3)
    for _ in range(100):
        pairs = Pairs.of(*drawn(rng, n, m, shift, level, spread), rng, draws=200)
        found = [tpr_of_pairs(pairs, rate) for rate in rates]
        covered += [e.low <= t <= e.high for e, t in zip(found, truth, strict=True)]
    assert (covered >= 93).all()


def test_pairs_of_few_records_are_worth_less() -> None:
    """Every record 32 times over with the same score: the interval is that of the records."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(1, 400)).repeat(32, 0)
    member = paired(rng, 32, 400)
    alike = tpr_of_pairs(Pairs.of(scores, member, rng), 0.1)
    apart = tpr_of_pairs(Pairs.of(rng.normal(size=(32, 400)), member, rng), 0.1)
    assert alike.high - alike.low > 2.5 * (apart.high - apart.low)  # type: ignore[operator]


def test_resolution_heeds_records_behind_false_positives() -> None:
    rng = np.random.default_rng(4)
    member = paired(rng, 64, 100)
    scores = rng.normal(size=member.shape)
    assert tpr_of_pairs(Pairs.of(scores, member, rng), 0.01).resolvable == "yes"
    scores[:, :2] += 10  # two records are all of the false positives
    assert tpr_of_pairs(Pairs.of(scores, member, rng), 0.01).resolvable in ("weak", "no")
    assert tpr_of_pairs(Pairs.of(scores[:2], member[:2], rng), 0.001).resolvable == "no"


def test_perfect_scores_and_one_side_only() -> None:
    rng = np.random.default_rng(5)
    member = paired(rng, 8, 50)
    pairs = Pairs.of(member * 1.0, member, rng)
    none, some = tpr_at_no_false_positive(pairs), tpr_of_pairs(pairs, 0.1)
    assert (none.value, none.high, some.value) == (1.0, 1.0, 1.0)
    assert 0.9 < none.low < 1  # type: ignore[operator]
    with pytest.raises(DataError, match="one side only"):
        Pairs.of(np.where(member, 1.0, np.nan), member, rng)
