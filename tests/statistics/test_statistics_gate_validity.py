"""A gate on several correlated attacks errs no more often than it says: known truth, small samples, few repeats.

``benchmarks/gate_validity.py`` is the same with more of everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from memberwise.statistics import Measured, judge, parse_rule

REPEATS = 200
# A true 5 % shows more often than that once in a thousand.
MOST = int(binom.isf(0.001, REPEATS, 0.05))
MEMBER = np.arange(500) < 250


def shift_of(area: Any) -> Any:
    return np.sqrt(2) * ndtri(area)


def verdicts(rule: Any, shifts: Any, seed: int) -> Iterator[Any]:
    """What the gate says of attacks whose members score N(shift, 1) and whose noise is shared by seven tenths."""
    rng = np.random.default_rng(seed)
    for _ in range(REPEATS):
        common = np.sqrt(0.7) * rng.normal(size=500)
        attacks = {
            str(k): Measured(common + np.sqrt(0.3) * rng.normal(size=500) + shift * MEMBER, MEMBER)
            for k, shift in enumerate(shifts)
        }
        yield judge([parse_rule(rule)], attacks, list(attacks))[0].passed


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize(("rule", "shift"), [("auc>0.6", shift_of(0.6)), ("tpr@0.1>0.3", ndtri(0.3) - ndtri(0.1))])
def test_model_at_limit_rarely_fails_and_above_rarely_passes(rule: str, shift: Any, k: int) -> None:
    at = list(verdicts(rule, [shift] * k, seed=k))
    assert at.count(False) <= MOST
    above = list(verdicts(rule, [shift + 1e-9, *[0.0] * (k - 1)], seed=10 + k))
    assert above.count(True) <= MOST


@pytest.mark.slow
def test_what_is_clearly_broken_or_kept_is_seen() -> None:
    broken = list(verdicts("auc>0.6", [shift_of(0.72), *[0.0] * 5], seed=1))
    assert broken.count(False) > 0.85 * REPEATS
    kept = list(verdicts("auc>0.8", [shift_of(0.6)] * 6, seed=2))
    assert kept.count(True) > 0.95 * REPEATS
