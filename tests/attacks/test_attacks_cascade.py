"""The cascade: who is put where, what its rounds gain where company counts, chance where nothing leaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attack_tables import answers_of, paired, table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from memberwise.assess.turns import attacks_in_turn
from memberwise.attacks import ATTACKS, cascade
from memberwise.attacks.cascade import FEWEST_RELEASED, KEPT, LEAST, believed, by_unit, released, sides
from memberwise.attacks.learned.attack import as_taught, carried_over_to
from memberwise.attacks.run import score
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.rounds import Round


class World:
    """Models whose answer about a record moves with which others they trained on.

    phi_i = difficulty_i + gap * [i in D] + sum over j in D of influence_ij, and noise; the target like any model.
    """

    def __init__(self, seed: int, records: int = 400, gap: float = 1.0, company: float = 1.5) -> None:
        self.rng = np.random.default_rng(seed)
        self.gap, self.difficulty = gap, self.rng.normal(size=records)
        self.influence = self.rng.normal(size=(records, records)) * company * 2 / np.sqrt(records)
        self.member = self.rng.permutation(records) < records // 2
        self.target = self.answers(self.member[None])

    def answers(self, inside: Any) -> Any:
        inside = np.asarray(inside, np.float64)
        phi = self.difficulty + self.gap * inside + (inside - 0.5) @ self.influence.T
        return answers_of((phi + 0.2 * self.rng.normal(size=phi.shape))[..., None])

    def table(self, trained_on: Any) -> Any:
        trained_on = np.asarray(trained_on, np.int8)
        return table(self.target, self.answers(trained_on == 1), trained_on, members=0.5)

    def after(self, rounds: int, first: int = 8) -> Any:
        """A table of ``first`` shadow models with so many rounds."""
        signals = self.table(paired(first, len(self.member), self.rng))
        log_odds, made = cascade.log_odds_of(signals, np.random.default_rng(0)), []
        for number in range(rounds):
            p = believed(log_odds, 0.5)
            free = released(p, None, self.rng)
            made.append(Round(log_odds, free, self.table(list(sides(p, free, None, self.rng)))))
            left_open = cascade.released_table(made[-1])
            log_odds = cascade.after(made[-1], left_open, carried_over_to(signals), np.random.default_rng(number))
        return replace(signals, rounds=tuple(made))


def auc(signals: Any, member: Any, name: str = "cascade") -> float:
    scores, why = score(signals, ATTACKS[name], np.random.default_rng(0))
    assert why is None
    assert scores is not None
    known = ~np.isnan(scores)
    return float(roc_auc_score(member[known], scores[known]))


@pytest.mark.slow
def test_rounds_gain_where_company_counts() -> None:
    worlds = [World(seed, gap=2.0, company=1.0) for seed in range(3)]
    tables = [world.after(3) for world in worlds]
    gained = [auc(t, w.member) - auc(t, w.member, "learned") for t, w in zip(tables, worlds, strict=True)]
    assert np.mean(gained) > 0.02
    assert min(gained) > 0


@pytest.mark.slow
def test_a_target_that_knows_no_record_gives_chance() -> None:
    """Mean of 6 targets of 400 records, standard deviation 0.012; the band is four of them."""
    worlds = [World(seed, gap=0.0) for seed in range(6)]
    tables = [world.after(2) for world in worlds]
    assert np.mean([auc(t, w.member) for t, w in zip(tables, worlds, strict=True)]) == pytest.approx(0.5, abs=0.047)
    sure = [np.mean(ATTACKS["cascade"].score(t, np.random.default_rng(0)) > 0.9) for t in tables]
    assert np.mean(sure) < 0.02


def probabilities(draw: Any) -> Any:
    size = draw(st.integers(1, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = expit(rng.normal(scale=draw(st.sampled_from([0.1, 2.0, 8.0])), size=size))
    p[rng.random(size) < draw(st.sampled_from([0.0, 0.2, 1.0]))] = np.nan
    units = rng.integers(0, max(1, size // 3), size) if draw(st.booleans()) else None
    return p, units, rng


@given(st.data())
@settings(max_examples=60)
def test_pairs_split_the_released_and_put_the_others(data: Any) -> None:
    p, units, rng = probabilities(data.draw)
    p = expit(by_unit(logit(p), units))
    free = released(p, units, rng)
    inside = np.array(list(sides(p, free, units, rng)))
    assert inside.shape == (4, len(p))
    assert not (free & np.isnan(p)).any()
    assert not inside[:, np.isnan(p)].any()  # of whom nothing is known trains nobody
    for one, other in (inside[:2], inside[2:]):
        assert (one[free] != other[free]).all()
    assert (inside[:, ~free] == (np.nan_to_num(p) > 0.5)[~free]).all()
    for unit in np.unique(units) if units is not None else ():
        assert len(np.unique(inside[:, units == unit], axis=1).T) == 1
        assert len(set(free[units == unit])) == 1
    known = ~np.isnan(p)
    of_units = len(np.unique(units[known])) if units is not None else known.sum()
    freed = len(np.unique(units[free])) if units is not None else free.sum()
    assert freed >= min(FEWEST_RELEASED, of_units)


def test_doubtful_records_are_released_and_sure_ones_seldom() -> None:
    p = np.repeat([0.5, 0.35, 0.9, 0.999], 4000)
    shares = released(p, None, np.random.default_rng(0)).reshape(4, -1).mean(1)
    assert shares[0] == shares[1] == 1
    np.testing.assert_allclose(shares[2:], [0.3, LEAST], atol=0.03)


def test_belief_counts_how_many_are_members() -> None:
    np.testing.assert_allclose(believed(np.array([0.0, logit(0.5)]), 0.25), 0.25)
    np.testing.assert_allclose(believed(np.array([1.0]), None), expit(1.0))


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=30), st.floats(0.02, 0.98))
@settings(max_examples=60)
def test_as_many_members_are_expected_as_are_told(odds: list[float], members: float) -> None:
    log_odds = np.array([*odds, np.nan])
    moved = cascade.balanced(log_odds, members)
    # All members are among the records whose log odds are known.
    wanted = min(members * len(log_odds) / len(odds), 1.0)
    assert np.nanmean(believed(moved, members)) == pytest.approx(wanted, abs=1e-5)
    np.testing.assert_allclose(moved - moved[0], log_odds - log_odds[0], atol=1e-9)  # one shift for all
    np.testing.assert_array_equal(cascade.balanced(log_odds, None), log_odds)


def test_surplus_non_members_take_no_share_of_the_members() -> None:
    """100 members, 100 non-members beside them, 200 beyond their number, on which no shadow model trains."""
    rng = np.random.default_rng(0)
    log_odds = np.concatenate([rng.normal(6, 1, 100), rng.normal(-6, 1, 100), np.full(200, np.nan)])
    p = believed(cascade.balanced(log_odds, 0.25), 0.25)
    assert (p[:100] > 0.5).all()
    assert (p[100:200] < 0.5).all()
    free = released(p, None, rng)
    for inside in sides(p, free, None, rng):
        assert 90 <= inside.sum() <= 110  # as many as the target trained on


def test_a_round_moves_released_records_beside_the_others() -> None:
    """Against the update written out; then all are shifted alike."""
    signals = World(1, 200).after(1)
    (one,) = signals.rounds
    rows = np.flatnonzero(one.released)
    again = as_taught(cascade.released_table(one), np.random.default_rng(5))
    wanted = one.prior.copy()
    for place, row in enumerate(rows):
        if not np.isnan(again[place]):
            wanted[row] = KEPT * one.prior[row] + again[place]
    got, _ = score(signals, ATTACKS["cascade"], np.random.default_rng(5))
    assert got is not None
    np.testing.assert_allclose(np.ptp(logit(got) - wanted), 0.0, atol=1e-6)
    assert got.mean() == pytest.approx(0.5, abs=1e-6)


def test_models_in_turn_have_no_rounds() -> None:
    """The rounds were trained on what all shadow models said of the target: they tell nothing of a stand-in."""
    signals = World(2, 200).after(1)
    stand_in = as_target(signals, 0, np.random.default_rng(0))
    assert stand_in.signals.rounds == ()
    scores, why = score(stand_in.signals, ATTACKS["cascade"], np.random.default_rng(0))
    assert scores is None
    assert "once the target was asked" in str(why)
    names = ["cascade", "learned", "base"]
    assert "cascade" not in [one.name for one in attacks_in_turn([ATTACKS[name] for name in names], names, "all")]
    half = signals.of_records(np.arange(100))
    assert half.rounds[0].table.records == len(half.rounds[0].prior) == 100
