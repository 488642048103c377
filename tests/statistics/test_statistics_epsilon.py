"""Epsilon bounds: by hand, on mechanisms with known epsilon, and on scores that carry nothing."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from memberwise.errors import StudyError
from memberwise.statistics import Counts, Threshold, epsilon_bound, epsilon_of_records


def exact(k: Any, n: Any, level: Any) -> Any:
    """One-sided Clopper-Pearson lower bound, from scipy."""
    return binomtest(k, n, alternative="greater").proportion_ci(1 - level, method="exact").low


@pytest.mark.parametrize("delta", [0.0, 1e-5, 0.01])
def test_bound_by_hand_in_both_directions(delta: float) -> None:
    tpr, fpr_up = exact(60, 100, 0.025), 1 - exact(195, 200, 0.025)
    bound = epsilon_bound(Counts(60, 100, 5, 200), delta=delta)
    assert bound.value == pytest.approx(log((tpr - delta) / fpr_up))
    mirrored = epsilon_bound(Counts(195, 200, 40, 100), delta=delta)
    assert mirrored.value == pytest.approx(bound.value)
    assert bound.to_dict() == {"value": bound.value, "confidence": 0.95, "delta": delta, "method": bound.method,
                               "basis": "many runs"}  # fmt: skip


@pytest.mark.parametrize("n", [1, 100, 5000])
def test_perfect_scores_reach_the_stated_ceiling(n: int) -> None:
    bound = epsilon_bound(Counts(n, n, 0, n), delta=0.0)
    low = 0.025 ** (1 / n)
    assert bound.value == pytest.approx(max(0.0, log(low / (1 - low))))
    assert f"at most {bound.value:.2f}" in bound.method


@pytest.mark.parametrize("counts", [Counts(0, 50, 0, 50), Counts(50, 50, 50, 50), Counts(0, 50, 50, 50)])
def test_no_excess_gives_zero(counts: Any) -> None:
    assert epsilon_bound(counts, delta=0.1).value == 0.0


def test_null_scores_give_zero_in_95_of_100_runs() -> None:
    rng = np.random.default_rng(11)
    positives = rng.binomial(500, 0.3, (1000, 2))
    zero = [epsilon_bound(Counts(int(a), 500, int(b), 500), delta=0.0).value == 0 for a, b in positives]
    assert np.mean(zero) >= 0.95


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 4.0])
def test_randomised_response_is_exceeded_at_the_stated_rate_only(epsilon: float) -> None:
    """Each run tells the truth with probability e^epsilon / (1 + e^epsilon): epsilon-private, and no less."""
    rng, truth, n = np.random.default_rng(12), exp(epsilon) / (1 + exp(epsilon)), 20_000
    values = np.array([
        epsilon_bound(Counts(int(rng.binomial(n, truth)), n, int(rng.binomial(n, 1 - truth)), n), delta=0.0).value
        for _ in range(1000)
    ])  # fmt: skip
    assert np.mean(values > epsilon) <= 0.05
    assert np.median(values) > 0.9 * epsilon  # and it is not trivially small


def test_gaussian_release_is_not_exceeded_at_its_delta() -> None:
    """One release with mu = 1 at sigma = 1: its delta at epsilon = 2 is known in closed form."""
    rng, n, epsilon = np.random.default_rng(13), 5000, 2.0
    delta = norm.cdf(-epsilon + 0.5) - exp(epsilon) * norm.cdf(-epsilon - 0.5)
    values = [
        epsilon_bound(Counts(int(rng.binomial(n, norm.sf(2.5 - 1))), n, int(rng.binomial(n, norm.sf(2.5))), n),
                      delta=delta).value
        for _ in range(1000)
    ]  # fmt: skip
    assert np.mean(np.array(values) > epsilon) <= 0.05


def test_records_of_one_run_only_describe() -> None:
    member = np.arange(400) < 200
    scores = np.random.default_rng(14).normal(2.0 * member, 1.0)
    scores[:7] = np.nan
    keep = np.arange(400) % 2 == 0
    bound = epsilon_of_records(scores, member, Threshold(1.5, "half", keep), delta=1e-5)
    used = keep & ~np.isnan(scores)
    counts = Counts(int((scores[used & member] > 1.5).sum()), int((used & member).sum()),
                    int((scores[used & ~member] > 1.5).sum()), int((used & ~member).sum()))  # fmt: skip
    assert bound.value == epsilon_bound(counts, delta=1e-5).value > 0
    assert bound.basis == "records of one run (descriptive)"


def test_threshold_searched_on_evaluated_records_is_refused() -> None:
    with pytest.raises(StudyError, match="not chosen on the records"):
        epsilon_of_records([1.0, 0.0], [1, 0], Threshold(0.5, "audited (optimistic)"))


@pytest.mark.parametrize(("delta", "confidence"), [(-0.1, 0.95), (1.0, 0.95), (float("nan"), 0.95), (0.0, 1.0)])
def test_parameters_are_checked(delta: Any, confidence: float) -> None:
    with pytest.raises(StudyError, match="out of range"):
        epsilon_bound(Counts(1, 2, 1, 2), delta=delta, confidence=confidence)
