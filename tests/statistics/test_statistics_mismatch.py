"""Whether a model stands out: Student's t by scipy where models are independent, and false alarms among pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, t

from memberwise.statistics import stands_out


def test_one_model_against_independent_ones_is_students() -> None:
    values = np.array([0.3, 0.1, 0.25, 0.4, 0.2])
    expected = 2 * t.sf(abs(0.9 - values.mean()) / (values.std(ddof=1) * np.sqrt(1 + 1 / 5)), 4)
    assert stands_out(0.9, values, []) == pytest.approx(expected)


def test_p_values_of_a_model_like_the_others_are_uniform() -> None:
    rng = np.random.default_rng(0)
    found = [stands_out(rng.normal(), rng.normal(size=6), []) for _ in range(2000)]
    assert kstest(found, "uniform").pvalue > 0.01  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [2, 4, 16])
def test_opposite_complements_give_no_more_false_alarms(pairs: int) -> None:
    """A figure is the mean of a value over the half that a model trained on; its complement has the rest."""
    rng, records, alarms = np.random.default_rng(pairs), 200, 0
    for _ in range(2000):
        value = rng.normal(size=records)
        halves = [rng.permutation(records)[: records // 2] for _ in range(pairs + 1)]
        means = np.array([value[half].mean() for half in halves])
        others = (value.sum() - means * records / 2) / (records / 2)
        p = stands_out(means[0], means[1:], others[1:])
        alarms += p is not None and p <= 0.05
    assert alarms <= 125  # of 2,000 at 5 % more than 125 are seen once in 200 times


def test_a_model_that_is_another_one_stands_out() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 8))
    far = stands_out(6.0, first, second)
    assert far is not None
    assert far < 0.001
    assert stands_out(first.mean(), first, second) > 0.5  # type: ignore[operator]


def test_too_few_models_or_no_spread_give_no_answer() -> None:
    assert stands_out(1.0, [0.5], [0.4]) is None
    assert stands_out(1.0, [], []) is None
    assert stands_out(1.0, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]) is None
