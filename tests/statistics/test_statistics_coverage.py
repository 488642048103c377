"""Monte Carlo: the intervals cover what they claim, and are not needlessly wide. Fixed seeds throughout.

Of 200 intervals at exactly 95 %, 183 or fewer cover with probability 2.6 %, of 1000 fewer than 930 with 0.2 %; fixed
seeds make that a constant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from memberwise.statistics import auc, decide, tpr_at_fpr
from memberwise.statistics.curve import tpr_interval
from memberwise.statistics.thresholds import Threshold

RUNS, ENOUGH = 200, 184


def drawn(seed: int, n1: Any, n0: Any, shift: Any, step: Any = None) -> tuple[Any, Any]:
    """Gaussian scores, the members' shifted; rounded down to multiples of ``step`` where ties are wanted."""
    rng = np.random.default_rng([seed, n1, n0])
    scores = np.r_[rng.normal(shift, 1.0, n1), rng.normal(0.0, 1.0, n0)]
    return scores if step is None else np.floor(scores / step) * step, np.arange(n1 + n0) < n1


def delong_width(scores: Any, member: Any) -> Any:
    x, y = scores[member], scores[~member]
    wins = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    return 2 * 1.959964 * np.sqrt(wins.mean(1).var(ddof=1) / len(x) + wins.mean(0).var(ddof=1) / len(y))


@pytest.mark.parametrize("step", [None, 1.0, 3.0])
@pytest.mark.parametrize(("n1", "n0"), [(20, 20), (100, 300), (500, 500)])
def test_auc_on_data_that_carry_nothing(n1: int, n0: int, step: float | None) -> None:
    estimates, plain = [], []
    for seed in range(RUNS):
        scores, member = drawn(seed, n1, n0, 0.0, step)
        estimates.append(auc(scores, member))
        plain.append(delong_width(scores, member))
    assert sum(e.low <= 0.5 <= e.high for e in estimates) >= ENOUGH  # type: ignore[operator]
    assert np.mean([e.high - e.low for e in estimates]) <= 1.25 * np.mean(plain)  # type: ignore[operator]


@pytest.mark.parametrize(("n1", "n0"), [(20, 20), (10, 60)])
def test_auc_of_binary_scores_by_enumeration(n1: int, n0: int) -> None:
    """Shares of ones from 1 % to 99 % on either side: no case is left out by chance."""
    member, ends = np.arange(n1 + n0) < n1, np.empty((n1 + 1, n0 + 1, 2))
    for k, j in np.ndindex(n1 + 1, n0 + 1):
        found = auc(np.r_[np.arange(n1) < k, np.arange(n0) < j] * 1.0, member)
        ends[k, j] = found.low, found.high
    for p1 in (0.01, 0.02, 0.18, 0.5, 0.94, 0.99):
        for p0 in (0.01, 0.18, 0.22, 0.5, 0.98, 0.99):
            weight = np.outer(binom.pmf(np.arange(n1 + 1), n1, p1), binom.pmf(np.arange(n0 + 1), n0, p0))
            truth = 0.5 + (p1 - p0) / 2
            covered = (ends[..., 0] <= truth + 1e-12) & (truth - 1e-12 <= ends[..., 1])
            assert (weight * covered).sum() >= 0.95, (p1, p0)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.9, 0.99, 0.999])
@pytest.mark.parametrize(("n1", "n0"), [(50, 50), (100, 100), (20, 500), (300, 300), (1000, 1000)])
def test_auc_near_one(truth: float, n1: int, n0: int) -> None:
    shift = np.sqrt(2) * norm.ppf(truth)
    estimates = [auc(*drawn(seed, n1, n0, shift)) for seed in range(1000)]
    assert np.mean([e.low <= truth <= e.high for e in estimates]) >= 0.93  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.9, 0.99])
@pytest.mark.parametrize("n", [50, 100, 500])
def test_auc_when_a_few_members_look_like_non_members(truth: float, n: int) -> None:
    """A share of members is like any non-member, the others stand far apart: the widest DeLong can be."""
    estimates = []
    for seed in range(1000):
        rng = np.random.default_rng([seed, n])
        scores = np.r_[rng.normal(0, 1, n) + 50 * (rng.random(n) > 2 * (1 - truth)), rng.normal(0, 1, n)]
        estimates.append(auc(scores, np.arange(2 * n) < n))
    assert np.mean([e.low <= truth <= e.high for e in estimates]) >= 0.93  # type: ignore[operator]


def true_tpr(rate: Any, shift: Any, step: Any) -> tuple[Any, Any]:
    """TPR above the smallest threshold whose true FPR is at most ``rate``, and that threshold."""
    threshold = norm.isf(rate)
    if step is not None:  # a score above the cell t is at least t + step before rounding down
        threshold = np.ceil(threshold / step - 1e-12) * step
    return norm.sf(threshold - shift), threshold


@pytest.mark.slow
@pytest.mark.parametrize("step", [None, 0.05, 0.5])
@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.parametrize("n", [1000, 3000])
def test_tpr_intervals_cover_and_are_not_absurdly_wide(n: int, rate: float, step: float | None) -> None:
    truth, threshold = true_tpr(rate, 1.0, step)
    covered, widths, oracle = 0, [], []
    for seed in range(RUNS):
        scores, member = drawn(seed, n, n, 1.0, step)
        estimate = tpr_at_fpr(scores, member, rate)
        covered += estimate.low <= truth <= estimate.high
        widths.append(estimate.high - estimate.low)  # type: ignore[operator]
        k = int((scores[member] >= threshold).sum())  # at the true threshold, were it known
        oracle.append(beta.ppf(0.975, k + 1, n - k) - beta.ppf(0.025, k, n - k + 1))
    slope = norm.pdf(norm.isf(rate) - 1.0) / norm.pdf(norm.isf(rate))
    best = 2 * 1.96 * np.sqrt((truth * (1 - truth) + slope**2 * rate * (1 - rate)) / n)  # of any interval, large n
    print(
        f"n = {n}, FPR = {rate}, step = {step}: covered {covered}/{RUNS}, width {np.mean(widths) / np.mean(oracle):.2f}"
        f" times that at the true threshold, {np.mean(widths) / best:.2f} times the best possible without ties"
    )
    assert covered >= ENOUGH
    assert np.mean(widths) < (1.6 if step == 0.05 else 1.15 if n * rate >= 100 else 1.3) * best


def bounds(
    curve: Any, ties: float = 0.0, n1: int = 400, n0: int = 400, rate: float = 0.1, error: float = 0.05, runs: int = 500
) -> Any:
    """Shares of runs in which the lower and the upper bound miss; a curve gives a member's rate for a uniform number.

    Scores are minus the false-positive rate above them; those of rates up to ``ties`` are one.
    """
    rng, ends = np.random.default_rng(n0), []
    for _ in range(runs):
        rates = curve(rng.random(n1)), rng.random(n0)
        ends.append(tpr_interval(*(np.sort(-np.where(u <= ties, ties, u)) for u in rates), rate, error))  # type: ignore[arg-type, call-arg]
    return np.array(ends).T


@pytest.mark.parametrize("rate", [0.02, 0.1])
@pytest.mark.parametrize("off", [0.0, 1e-6])
def test_each_bound_holds_where_saturated_scores_end_at_the_rate(rate: float, off: float) -> None:
    """40 % of the members and a share of the non-members, the rate or a trace more, have one score, the highest."""
    end = rate * (1 + off)
    low, high = bounds(lambda v: np.where(v < 0.4, end * v / 0.4, end + (1 - end) * (v - 0.4) / 0.6), end, rate=rate)
    truth = 0.0 if off else 0.4
    # of 500 at 5 % more than 40 are seen once in 1,000 times
    assert (low > truth + 1e-12).sum() <= 40
    assert (high < truth - 1e-12).sum() <= 40


@pytest.mark.slow
@pytest.mark.parametrize("n", [400, 1000])
@pytest.mark.parametrize("jump", [0.05, 0.3])
def test_each_bound_holds_where_the_curve_jumps_at_the_rate(n: int, jump: float) -> None:
    """20 % of the members lie above the threshold, as many as ``jump`` exactly at it: no interval is narrow here."""

    def curve(v: Any) -> Any:
        beyond = 0.1 + 0.9 * (v - 0.2 - jump) / (0.8 - jump)
        return np.where(v < 0.2, 0.1 * v / 0.2, np.where(v < 0.2 + jump, 0.1, beyond))

    low, high = bounds(curve, n1=n, n0=n)
    assert (low > 0.2 + jump).sum() <= 40
    assert (high < 0.2 + jump).sum() <= 40


@pytest.mark.parametrize("n0", [30, 60, 95])
def test_few_false_positives_are_exact(n0: int) -> None:
    low, high = bounds(lambda v: v**3, n1=200, n0=n0)
    truth = 0.1 ** (1 / 3)
    assert (low > truth).sum() <= 40
    assert (high < truth).sum() <= 40


def test_tpr_interval_on_data_that_carry_nothing() -> None:
    estimates = [tpr_at_fpr(*drawn(seed, 1000, 1000, 0.0), 0.01) for seed in range(RUNS)]
    assert sum(e.low <= 0.01 <= e.high for e in estimates) >= ENOUGH  # type: ignore[operator]


def test_figures_at_a_threshold_cover() -> None:
    tpr, fpr = norm.sf(0.5 - 1.0), norm.sf(0.5)
    truths = {"balanced_accuracy": (1 + tpr - fpr) / 2, "advantage": tpr - fpr, "recall": tpr,
              "false_positive_rate": fpr, "precision": 100 * tpr / (100 * tpr + 300 * fpr)}  # fmt: skip
    decisions = [decide(*drawn(seed, 100, 300, 1.0), Threshold(0.5, "shadows")) for seed in range(RUNS)]
    for name, truth in truths.items():
        estimates = [getattr(decision, name) for decision in decisions]
        assert sum(e.low <= truth <= e.high for e in estimates) >= ENOUGH, name
