"""PAC-private prediction's figures: what is compared at which size, and that no bound stands without the other game."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import pytest
from scipy.optimize import brentq

from memberwise.defences.bounded.words import other_game
from memberwise.reproduce.claim import judged
from memberwise.reproduce.published import published
from memberwise.reproduce.tables import pac


def test_the_published_bound_is_the_one_computed(faked: Callable[..., Any]) -> None:
    """By the divergence itself, written out here."""
    nats = 1_000_000 * 2.0**-32
    slow = brentq(lambda d: d * log(2 * d) + (1 - d) * log(2 * (1 - d)) - nats, 0.5 + 1e-9, 0.9)
    rows = {row.measure: row for row in judged(pac.pac_cifar10(faked("pac-cifar10", "quick")), ()).rows}
    bound = rows[pac.BOUND]
    assert bound.ours is not None
    assert bound.ours.value == pytest.approx(slow, abs=1e-9)
    assert bound.verdict == "within tolerance"
    assert bound.published == published("pac-cifar10")[1]


@pytest.mark.parametrize("size", ["smoke", "quick"])
def test_accuracy_of_a_smaller_network_is_not_compared(size: str, faked: Callable[..., Any]) -> None:
    bench = faked("pac-cifar10", size)
    found = pac.pac_cifar10(bench)
    private = next(row for row in found.rows if (row.setting, row.measure) == (pac.PAC, "test accuracy"))
    assert (private.verdict, private.why) == ("not compared", pac.SMALLER)
    plain, defended = bench.questions.values()
    assert defended | {"training.defence": None} == plain | {"training.defence": None}, "equal but for the defence"


def test_the_bound_stands_beside_the_other_game(faked: Callable[..., Any]) -> None:
    found = pac.pac_cifar10(faked("pac-cifar10", "quick"))
    assert other_game("i") in found.notes[0]
    measured = {row.setting for row in found.rows if row.measure.startswith("AUC, game ii")}
    assert measured == {pac.PAC, pac.PLAIN}
