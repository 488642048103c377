"""What a user's own attack raises, or states wrongly, is told as a finding and not raised as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import memberwise
from memberwise.attacks import ATTACKS
from memberwise.attacks.base import Attack, Needs
from memberwise.errors import CheckError

LOSS = ATTACKS["loss"]


def refused(attack: Any) -> CheckError:
    with pytest.raises(CheckError) as caught:
        memberwise.check_attack(attack)
    return caught.value


def fails(signals: Any, rng: Any) -> Any:
    return {}["lost"]  # type: ignore[index]


def ragged(signals: Any, rng: Any) -> list[Any]:
    return [[1.0], [1.0, 2.0]]


def one_side(signals: Any, rng: Any) -> Any:
    scores = np.full(signals.records, np.nan)
    scores[0] = 1.0
    return scores


@pytest.mark.parametrize(
    ("score", "cause", "told"),
    [
        (fails, KeyError, "KeyError: 'lost' (in fails, test_check_attack_errors.py line"),
        (lambda signals: None, TypeError, "score(signals, rng) runs"),
        (ragged, ValueError, "score(signals, rng) runs"),
        (lambda signals, rng: None, type(None), "found None"),
        (lambda signals, rng: signals.target, type(None), "found an Answers"),
        (lambda signals, rng: np.full(signals.records, "a"), type(None), "found <U1"),
        (one_side, type(None), "change places"),
        (None, type(None), "score is a function: found None"),
    ],
)
def test_what_goes_wrong_in_an_attack_is_a_finding(score: Any, cause: type, told: str) -> None:
    error = refused(replace(LOSS, name="mine", score=score))
    assert isinstance(error.__cause__, cause)
    assert told in str(error)


def test_a_later_run_may_fail_too() -> None:
    runs = []

    def third(signals: Any, rng: Any) -> Any:
        runs.append(1)
        return np.ones(3) if len(runs) == 3 else signals.target.phi[0, :, 0]

    assert "float64 (3,)" in str(refused(replace(LOSS, name="mine", score=third)))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"needs": None}, "needs is an instance of Needs: found None"),
        ({"needs": Needs(answers="probs")}, "needs.answers is one of labels"),  # type: ignore[arg-type]
        ({"needs": Needs(shadows="in")}, "needs.shadows is one of none, out, in+out"),  # type: ignore[arg-type]
        ({"needs": Needs(extra="nosuch")}, "needs.extra is one of"),
        ({"threshold": "best"}, "chosen, search: found 'best'"),
        ({"threshold_from": "nowhere"}, "threshold_from is one of shadows"),
    ],
)
def test_what_an_attack_states_must_exist(parts: dict[str, Any], told: str) -> None:
    assert told in str(refused(replace(LOSS, **parts)))


@pytest.mark.parametrize("name", ["", "my attack", "tpr>", "gap"])
def test_a_name_that_an_audit_refuses_is_a_finding(name: str) -> None:
    assert "an audit takes it" in str(refused(replace(LOSS, name=name)))


@pytest.mark.parametrize(
    ("thing", "told"),
    [("loss", 'ATTACKS["loss"]'), (None, "found None"), (Attack, "found the class Attack"), (fails, "a function")],
)
def test_what_is_no_attack_is_told(thing: Any, told: str) -> None:
    assert told in str(refused(thing))
