"""Attacks that learn, learned anew for thresholds: once a fold, on models that are none of those it is asked about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_expit

from memberwise.assess import learned_anew as room
from memberwise.assess.learned_anew import learned_anew, stand_ins_learned_for, times_learned_anew
from memberwise.attacks import ATTACKS
from memberwise.seeds import Seeds
from memberwise.signals.table import Answers, Signals

RECORDS = 40


class Recording:
    """``learned``, which keeps what it was taught on, and scores by the target's answer."""

    def __init__(self) -> None:
        self.tables: list[Signals] = []
        self.attack = replace(ATTACKS["learned"], score=self.score, teach=self.teach, calibrated=None)

    def teach(self, signals: Signals, rng: Any) -> Any:
        self.tables.append(signals)
        return lambda target: target.target.phi[0, :, 0]

    def score(self, signals: Signals, rng: Any) -> Any:
        return self.teach(signals, rng)(signals)


def table(models: int, paired: bool = True) -> Signals:
    rng = np.random.default_rng(0)
    first = rng.random((models, RECORDS)).argsort(1) < RECORDS // 2
    trained_on = np.stack([first, ~first], 1).reshape(-1, RECORDS)[:models] if paired else first
    phi = trained_on[..., None] + rng.normal(size=(models, RECORDS, 1))
    answers = Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0)
    target = answers.of_models(np.array([0]))
    return Signals(np.arange(RECORDS), np.zeros(RECORDS, np.int64), target, answers, trained_on.astype(np.int8))


@pytest.mark.parametrize(("models", "taught"), [(8, 2), (16, 2), (64, 1)])
def test_both_of_a_pair_are_served_by_what_others_taught(models: int, taught: int) -> None:
    signals, recording = table(models), Recording()
    found = learned_anew(signals, [recording.attack], Seeds(0))["learned"]
    assert len(recording.tables) == taught == times_learned_anew(models, RECORDS)
    assert len(found) == 4 == stand_ins_learned_for(models, RECORDS)
    phi = signals.shadows.phi[:, :, 0]  # type: ignore[union-attr]
    for k, (scores, member) in enumerate(found):
        np.testing.assert_array_equal(scores, phi[k])
        np.testing.assert_array_equal(member, signals.trained_on[k] == 1)
        of_it = recording.tables[k // 2 if taught == 2 else 0].shadows
        left = {row.tobytes() for row in of_it.phi[:, :, 0]}  # type: ignore[union-attr]
        assert not left & {phi[k].tobytes(), phi[k ^ 1].tobytes()}


def test_pairs_that_lie_apart_are_found() -> None:
    signals, recording = table(8), Recording()
    apart = signals.of_models(np.arange(8))
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])
    apart = replace(apart, shadows=signals.shadows.of_models(order), trained_on=signals.trained_on[order])  # type: ignore[union-attr]
    assert len(learned_anew(apart, [recording.attack], Seeds(0))["learned"]) == 4
    assert len(recording.tables) == 2


def test_without_complements_each_is_learned_for_alone() -> None:
    recording = Recording()
    found = learned_anew(table(8, paired=False), [recording.attack], Seeds(0))["learned"]
    assert len(found) == len(recording.tables) == 4


def test_only_the_first_is_learned_anew_and_none_of_few_models() -> None:
    both = [ATTACKS["loss"], ATTACKS["learned-offline"], Recording().attack]
    assert list(learned_anew(table(8), both, Seeds(0))) == ["learned"]
    assert learned_anew(table(room.FEWEST - 2), both, Seeds(0)) == {}
    assert learned_anew(table(8), [ATTACKS["loss"]], Seeds(0)) == {}
