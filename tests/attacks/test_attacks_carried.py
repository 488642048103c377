"""Log odds made less sure until population records look like non-members: where the answer is known, and by a grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from memberwise.attacks.learned.carried import FLATTEST, PRIOR, Carried, carried_over


def told(rng: np.random.Generator, variance: float, members: int = 6000) -> tuple[np.ndarray, ...]:
    """True log odds of as many members and non-members, who is who, and of population records.

    N(v/2, v) over N(-v/2, v) is the exponential of the value itself.
    """
    spread = np.sqrt(variance)
    inside, outside, population = (
        rng.normal(centre, spread, members) for centre in (variance / 2, -variance / 2, -variance / 2)
    )
    return np.concatenate([inside, outside]), np.arange(2 * members) < members, population


@pytest.mark.parametrize("factor", [1.5, 2.0, 4.0])
def test_log_odds_too_large_by_a_factor_are_mended(factor: float) -> None:
    true, member, population = told(np.random.default_rng(0), 2.0)
    carried = carried_over(factor * true, factor * population)
    assert carried.slope == pytest.approx(1 / factor, rel=0.1)
    assert carried.shift == pytest.approx(0, abs=0.05)
    mended = carried.of(factor * true)
    before, after = (np.abs(expit(values) - expit(true)).mean() for values in (factor * true, mended))
    assert after < 0.02 < before
    assert member[expit(mended) > 0.9].mean() > 0.9


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_log_odds_that_are_not_too_sure_stay(factor: float) -> None:
    true, _, population = told(np.random.default_rng(1), 2.0)
    carried = carried_over(factor * true, factor * population)
    assert carried.slope > 0.95
    np.testing.assert_allclose(expit(carried.of(factor * true)), expit(factor * true), atol=0.02)


def test_a_target_that_leaks_nothing_is_called_probable_nowhere() -> None:
    """Its audited records are like its population, of which a judge taught on leaking models says as much."""
    rng = np.random.default_rng(2)
    audited, population = rng.normal(-0.5, 1.5, 1200), rng.normal(-0.5, 1.5, 1000)
    assert (expit(audited) > 0.7).mean() > 0.15
    scores = expit(carried_over(audited, population).of(audited))
    assert scores.max() < 0.65
    assert scores.mean() == pytest.approx(0.5, abs=0.01)


def test_the_estimate_is_the_best_of_a_grid() -> None:
    """The likelihood of which sample each value is of, record by record."""
    rng = np.random.default_rng(3)
    true, _, population = told(rng, 1.0, 150)
    audited, population = 3 * true + 0.5, 3 * population + 0.5

    def likelihood(shift: float, slope: float) -> float:
        total = -((shift / PRIOR["shift"]) ** 2 + ((slope - 1) / PRIOR["slope"]) ** 2) / 2
        for values, is_audited in ((audited, True), (population, False)):
            density = len(audited) * (0.7 + 0.3 * np.exp(shift + slope * values))
            share = density / (density + len(population))
            total += np.log(share if is_audited else 1 - share).sum()
        return float(total)

    grid = [(shift, slope) for shift in np.linspace(-2, 0, 81) for slope in np.linspace(FLATTEST, 1, 99)]
    best = max(grid, key=lambda at: likelihood(*at))
    carried = carried_over(audited, population, members=0.3)
    assert 0.2 < best[1] < 0.9
    assert best[0] < -0.1
    assert (carried.shift, carried.slope) == pytest.approx(best, abs=0.03)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_another_share_of_members_is_no_contradiction(share: float) -> None:
    """Log odds are those of as many members as others; told the share, they are found to hold."""
    true, member, population = told(np.random.default_rng(6), 2.0, 3000)
    keep = np.random.default_rng(7).random(len(true)) < np.where(member, share, 1 - share)
    carried = carried_over(true[keep], population, members=share)
    assert carried.slope > 0.9
    assert carried.shift > -0.1
    assert not carried.contradicted
    untold = carried_over(true[keep], population)
    assert (untold.evidence > 20) == (share != 0.5)


def test_log_odds_raised_alike_are_lowered() -> None:
    true, _, population = told(np.random.default_rng(8), 2.0)
    carried = carried_over(true + 1, population + 1)
    assert carried.shift == pytest.approx(-1, abs=0.1)
    assert carried.contradicted


def test_evidence_tells_of_log_odds_too_timid_as_well() -> None:
    """They stay as they are, which is safe; that population records contradict them is known all the same."""
    true, _, population = told(np.random.default_rng(9), 3.0)
    carried = carried_over(true / 4, population / 4)
    assert carried.slope > 0.95
    assert carried.contradicted
    assert not carried_over(true, population).contradicted


def test_order_is_kept() -> None:
    values = np.random.default_rng(4).normal(size=50)
    for slope in (FLATTEST, 0.5, 1.0):
        np.testing.assert_array_equal(np.argsort(Carried(slope, 0.3).of(values)), np.argsort(values))
    np.testing.assert_array_equal(Carried().of(values), values)


def test_mended_probabilities_stay_so() -> None:
    """What was made less sure once is not made so again, but for the prior that draws the slope to 1."""
    true, _, population = told(np.random.default_rng(5), 2.0)
    carried = carried_over(3 * true, 3 * population)
    again = carried_over(carried.of(3 * true), carried.of(3 * population))
    assert again.slope > 0.97
