"""PATE's output defence: its state, its budget, what it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from memberwise.defences.bounded.pate import ORDERS, epsilon_of
from memberwise.defences.output.pate import Pate, PateState
from memberwise.errors import StudyError
from memberwise.types.arrays import Floats

# Of 50 teachers 45, 30 and 25 agree.
VOTES = [np.eye(3)[np.r_[np.zeros(k, int), np.full(50 - k, 2)]] for k in (45, 30, 25)]


def answered(defence: Pate, questions: int, votes: Floats = VOTES[0], seed: int = 1) -> tuple[PateState, Floats]:
    """The state after so many questions, and the answers."""
    state, rng, answers = defence.start(50), np.random.default_rng(seed), []
    for _ in range(questions):
        done = defence.step(votes, state, b"", rng)
        state = done.state
        answers.append(done.answer)
    return state, np.array(answers)


def test_answers_are_one_hot_or_alike_for_all_classes() -> None:
    _, answers = answered(Pate(sigma1=3.0, sigma2=2.0, threshold=0.6, epsilon=1e5), 200, VOTES[1])
    silent = np.isclose(answers, 1 / 3).all(1)
    assert 0.3 < silent.mean() < 0.7
    assert np.array_equal(np.unique(answers[~silent], axis=0), [[1.0, 0.0, 0.0]])


def test_budget_lasts_for_its_questions_and_no_longer() -> None:
    defence = Pate(epsilon=4.0, questions=60, threshold=0.0)
    state, _ = answered(defence, 60)
    assert defence.allows(answered(defence, 59)[0])
    assert not defence.allows(state)
    assert defence.spent(state).epsilon == pytest.approx(4.0, rel=1e-6)
    bound = defence.bound(state)
    assert (bound.game, bound.questions) == ("ii", 60)
    assert bound.epsilon is not None
    assert bound.epsilon <= 4.0


def test_silence_costs_less_and_the_bound_does_not_count_on_it() -> None:
    defence = Pate(epsilon=4.0, questions=60, threshold=1.0, check=0.1)
    state, answers = answered(defence, 60, VOTES[2])
    assert np.isclose(answers, 1 / 3).all(1).mean() > 0.7
    spent, bound = defence.spent(state).epsilon, defence.bound(state).epsilon
    assert spent is not None
    assert bound is not None
    assert spent < 0.6 * bound
    assert bound == pytest.approx(epsilon_of(60 * defence.worst_rho, 1e-5), rel=1e-6)


def test_state_comes_back_from_bytes_the_same() -> None:
    defence = Pate()
    state, _ = answered(defence, 7)
    again = defence.unpack_state(defence.pack_state(state))
    assert (again.teachers, again.rho, again.questions) == (state.teachers, state.rho, state.questions)
    assert np.array_equal(again.rdp, state.rdp)
    assert state.questions == 7
    for blob in (b"", b"pac1" + defence.pack_state(state)[4:], defence.pack_state(state)[:-8]):
        with pytest.raises(ValueError, match="no state of pate"):
            defence.unpack_state(blob)


@pytest.mark.parametrize("harm", [{"rho": np.inf}, {"rho": -1.0}, {"rho": np.nan}, {"rdp": np.full(len(ORDERS), -1.0)}])
def test_state_that_no_answers_leave_is_refused(harm: dict[str, Any]) -> None:
    defence = Pate()
    with pytest.raises(ValueError, match="no state of pate"):
        defence.unpack_state(defence.pack_state(replace(defence.start(5), **harm)))


def test_the_most_that_is_spent_is_known_beforehand() -> None:
    defence = Pate(threshold=0.9)
    state, _ = answered(defence, 30, VOTES[1])
    more, _ = answered(defence, 50, VOTES[1])
    most, spent = defence.after(state, 20).epsilon, defence.spent(more).epsilon
    assert most is not None
    assert spent is not None
    assert spent <= most


def test_one_sigma_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="sigma1 and sigma2"):
        Pate(sigma2=3.0)
    with pytest.raises(ValidationError, match="sigma1 and sigma2"):
        Pate(threshold=0, sigma1=3.0)
    assert Pate(threshold=0, sigma2=3.0).mechanism(10).sigma2 == 3.0


@pytest.mark.parametrize("parameters", [{"sigma1": 1e-200, "sigma2": 1e-200}, {"questions": 10**400}])
def test_impossible_parameters_are_refused(parameters: Any) -> None:
    with pytest.raises(ValidationError):
        Pate(**parameters)


def test_an_epsilon_of_nothing_is_refused() -> None:
    with pytest.raises(StudyError, match="epsilon so small"):
        Pate(epsilon=1e-100).start(10)


def test_noise_too_small_for_the_budget_is_refused() -> None:
    with pytest.raises(StudyError, match="one question may cost more"):
        Pate(sigma1=1.0, sigma2=0.1, epsilon=1.0).start(10)
    with pytest.raises(StudyError, match="teacher"):
        Pate().start(1)
