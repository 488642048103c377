"""Good attacks pass, and each kind of broken one is told what it broke."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import memberwise
from memberwise.attacks import ATTACKS
from memberwise.attacks.base import Attack
from memberwise.errors import CheckError


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gap", "loss", "lira-online-fixed", "rmia-offline", "attack-p", "base", "quantile"])
def test_built_in_attacks_pass(name: str) -> None:
    memberwise.check_attack(ATTACKS[name])


def broken(score: Any) -> Attack:
    return replace(ATTACKS["loss"], name="mine", score=score)


def upside_down(signals: Any, rng: Any) -> Any:
    return -signals.target.log_p[0, :, 0].astype(np.float64)


def in_place(signals: Any, rng: Any) -> Any:
    signals.target.log_p[:] *= 2
    return signals.target.log_p[0, :, 0].astype(np.float64)


def moody(signals: Any, rng: Any) -> Any:
    return signals.target.log_p[0, :, 0] + np.random.default_rng().normal(size=signals.records)


def by_place(signals: Any, rng: Any) -> Any:
    """Trusts the first records' answers more than the last ones'."""
    keep = np.arange(signals.records) < 150
    return np.where(keep, signals.target.phi[0, :, 0], 0.0)


@pytest.mark.parametrize(
    ("score", "told"),
    [
        (upside_down, "higher scores mean members"),
        (in_place, "left as it was"),
        (moody, "the same random numbers"),
        (by_place, "change places"),
        (lambda s, rng: s.target.log_p[0], "shape"),
        (lambda s, rng: np.full(s.records, np.nan), "NaN for all"),
    ],
)
def test_what_is_broken_is_told(score: Any, told: str) -> None:
    with pytest.raises(CheckError, match=told):
        memberwise.check_attack(broken(score))


def test_a_need_the_check_cannot_meet_is_told() -> None:
    with pytest.raises(CheckError, match="revealed"):
        memberwise.check_attack(ATTACKS["nasr"])
