"""Game (i): the exact Bayesian attacker over many secrets, within the bound and near it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from memberwise.assess.games import Sessions, ask_adaptively, ask_all, draw_secrets, figures, game_one
from memberwise.defences.bounded.worlds import world_rows
from memberwise.statistics import auc, tpr_at
from memberwise.types.arrays import Floats, Mask

RECORDS, WORLDS, CLASSES = 40, 8, 3


def world_answers(member: Mask, questions: int, seed: int = 2) -> Floats:
    """One-hot answers by which a world is right about what it learned more often than about the rest."""
    rng = np.random.default_rng(seed)
    knows = rng.random((questions, len(member))) < np.where(member.T[:questions], 0.95, 0.6)
    return np.eye(CLASSES)[np.where(knows, 0, rng.integers(1, CLASSES, knows.shape))]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.75])
@pytest.mark.parametrize("power", [-20, -8, -4])
def test_both_attackers_stay_within_the_bound(power: int, share: float) -> None:
    member = world_rows(RECORDS, WORLDS, share, 1)
    answers = world_answers(member, RECORDS)
    for one in game_one(answers, member, share, 2.0**power, [0.1], 0.9999, np.random.default_rng(5), secrets=300):
        assert one.nats <= one.questions * 2.0**power * (1 + 1e-9)
        assert one.accuracy.low is not None
        assert one.accuracy.low <= one.bound
        assert one.accuracy.low <= one.accuracy.value


@pytest.mark.slow
def test_two_worlds_come_near_the_bound() -> None:
    """Membership is the secret itself there, and Gaussian noise nearly the best that so few nats can buy."""
    member = world_rows(10, 2, 0.5, 1)
    answers = np.tile(np.eye(2)[None], (30, 1, 1))
    every, _ = game_one(answers, member, 0.5, 0.001, [0.1], 0.95, np.random.default_rng(5), secrets=4_000)
    assert every.accuracy.low is not None
    assert 0.6 < every.bound < 0.65
    assert every.accuracy.low > 0.5 + 0.6 * (every.bound - 0.5)
    assert every.accuracy.value < every.bound


def test_success_is_that_of_gaussians_so_far_apart() -> None:
    """Two worlds, one question: answers sqrt(2) apart under noise of a known size (the publication's formula)."""
    member, budget = world_rows(10, 2, 0.5, 1), 0.05
    sessions = ask_all(
        np.eye(2)[None], budget, draw_secrets(2, 20_000, np.random.default_rng(1)), np.random.default_rng(2)
    )
    found = figures("once", sessions, member, 0.5, [0.1], 0.95)
    spread = 0.5**0.5  # of the answers along their one direction
    deviation = (spread * spread / (2 * budget)) ** 0.5
    expected = norm.cdf(2 * spread / deviation / 2)
    assert found.accuracy.value == pytest.approx(expected, abs=4 * 0.5 / 20_000**0.5)


def test_figures_are_those_of_the_statistics_room() -> None:
    member = world_rows(60, WORLDS, 0.5, 3)
    sessions = ask_all(
        world_answers(member, 40), 0.01, draw_secrets(WORLDS, 30, np.random.default_rng(1)), np.random.default_rng(2)
    )
    found = figures("all", sessions, member, 0.5, [0.1, 0.2], 0.95)
    belief = np.round(sessions.weights @ member, 12)
    truth = member[sessions.worlds]
    pairs = list(zip(belief, truth, strict=True))
    assert found.auc.value == pytest.approx(np.mean([auc(b, t).value for b, t in pairs]))
    for row in found.tpr_at_fpr:
        assert row.value == pytest.approx(tpr_at(belief.ravel(), truth.ravel(), row.fpr), rel=0.02)


def test_adaptive_questions_differ_and_tell_more_early() -> None:
    member = world_rows(RECORDS, WORLDS, 0.5, 1)
    answers = world_answers(member, RECORDS)
    secrets = draw_secrets(WORLDS, 200, np.random.default_rng(4))
    chosen = ask_adaptively(answers, 0.2, secrets, np.random.default_rng(6), questions=6)
    in_turn = ask_all(answers[:6], 0.2, secrets, np.random.default_rng(6))
    at_secret = [one.weights[np.arange(200), one.worlds].mean() for one in (chosen, in_turn)]
    assert at_secret[0] > at_secret[1]
    assert chosen.nats.max() <= 6 * 0.2 * (1 + 1e-9)


def test_agreeing_worlds_tell_nothing() -> None:
    member = world_rows(RECORDS, WORLDS, 0.5, 1)
    answers = np.tile(np.eye(CLASSES)[0], (RECORDS, WORLDS, 1))
    for one in game_one(answers, member, 0.5, 0.1, [0.1], 0.95, np.random.default_rng(5), secrets=40):
        assert (one.nats, one.bound, one.accuracy.value, one.auc.value) == (0.0, 0.5, 0.5, 0.5)


def test_secrets_are_drawn_evenly() -> None:
    assert np.bincount(draw_secrets(8, 800, np.random.default_rng(0))).tolist() == [100] * 8


def test_a_posterior_that_knows_names_every_record() -> None:
    member = world_rows(RECORDS, WORLDS, 0.75, 1)
    worlds = np.arange(WORLDS)
    known = figures("knows", Sessions(worlds, np.eye(WORLDS), np.full(WORLDS, 9.0), 1), member, 0.75, [0.1], 0.95)
    assert known.accuracy.value == pytest.approx(1.0)
    assert (known.auc.value, known.tpr_at_fpr[0].value, known.bound) == (1.0, 1.0, 1.0)
