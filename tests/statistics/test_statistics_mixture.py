"""Quantiles of mixtures of Betas: against root finding on one mixture at a time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from memberwise.statistics.mixture import quantiles_of_betas


def one_by_one(counts: np.ndarray, n: int, masses: np.ndarray, level: float) -> float:
    """The quantile by SciPy's root finding on SciPy's distribution functions."""

    def missing(t: float) -> float:
        parts = np.where(counts == 0, 1.0, stats.beta.cdf(t, np.where(counts == 0, 1.0, counts), n - counts + 1))
        return float(masses @ parts) - level * float(masses.sum())

    return 0.0 if missing(0.0) >= 0 else float(optimize.brentq(missing, 0.0, 1.0, xtol=1e-15, rtol=1e-14))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 30, 1000, 200_000]),
    st.sampled_from([1e-4, 0.0125, 0.025, 0.5, 0.975]),
)
def test_quantiles_are_those_that_root_finding_gives(seed: int, n: int, level: float) -> None:
    """Six mixtures: ties, zeros, fractions, narrow and wide ones, weights that do not add to 1."""
    rng = np.random.default_rng(seed)
    mixtures = [
        (rng.integers(0, rng.integers(1, n + 1) + 1, size) * rng.choice([1.0, 0.9]), rng.exponential(size=size) + 1e-9)
        for size in rng.integers(1, 40, 6)
    ]
    of = np.repeat(np.arange(6), [len(counts) for counts, _ in mixtures])
    found = quantiles_of_betas(
        *(np.concatenate([m[0] for m in mixtures]), n), np.concatenate([m[1] for m in mixtures]), of, level
    )
    expected = [one_by_one(counts, n, masses, level) for counts, masses in mixtures]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_a_mixture_of_nothing_but_zero_is_zero() -> None:
    of = np.array([0, 0, 1])
    found = quantiles_of_betas(np.array([0.0, 0.0, 5.0]), 10, np.ones(3), of, 0.5)
    assert found[0] == 0.0
    np.testing.assert_allclose(found[1], stats.beta.ppf(0.5, 5, 6), rtol=1e-12)
