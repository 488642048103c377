"""Attacks that train on shadow models, in turn: taught once a fold of pairs, on models outside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_expit

from memberwise.assess import folds
from memberwise.assess.kept_turns import KeptTurns
from memberwise.assess.turns import clusters_of, take_all_turns
from memberwise.attacks import ATTACKS, Attack
from memberwise.seeds import Seeds
from memberwise.signals.table import Answers, Signals

RECORDS = 60
EVALUATED = np.ones(RECORDS, bool)
LEARNED = ATTACKS["learned"]


def answers(phi: Any, vectors: Any = None) -> Answers:
    phi = np.asarray(phi)[..., None]
    return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0, vectors)


def table(pairs: int = 6, alone: int = 0, seed: int = 0, full: int = 0) -> Signals:
    """Pairs one after the other, then models without a complement; the first ``full`` models' full answers are kept."""
    rng = np.random.default_rng(seed)
    first = rng.random((pairs, RECORDS)).argsort(1) < RECORDS // 2
    halves = np.stack([first, ~first], 1).reshape(-1, RECORDS)
    trained_on = np.concatenate([halves, rng.random((alone, RECORDS)) < 0.5]).astype(np.int8)
    phi = 2.0 * trained_on + rng.normal(size=trained_on.shape)
    vectors = np.stack([phi, np.zeros_like(phi), phi - 3], -1).astype(np.float32)[:full] if full else None
    target = answers(rng.normal(size=(1, RECORDS)))
    return Signals(np.arange(RECORDS), np.zeros(RECORDS, np.int64), target, answers(phi, vectors), trained_on)


def taken(signals: Signals, models: Any, attack: Attack = LEARNED, kept: KeptTurns | None = None) -> Any:
    return take_all_turns(signals, [attack], models, EVALUATED, Seeds(0), kept)[0].scores


class Recording:
    """An attack that keeps what it was taught on."""

    def __init__(self) -> None:
        self.tables: list[Signals] = []
        self.attack = replace(LEARNED, name="recording", score=self.score, teach=self.teach, calibrated=None)

    def teach(self, signals: Signals, rng: Any) -> Any:
        self.tables.append(signals)
        return lambda target: target.target.phi[0, :, 0]

    def score(self, signals: Signals, rng: Any) -> Any:
        return self.teach(signals, rng)(signals)


@pytest.mark.slow
def test_a_turn_is_the_attack_beside_models_of_other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: the two pairs of a fold leave, and a model of them is the target of those that remain."""
    monkeypatch.setattr(folds, "FOLDS", 3)
    signals = table()
    scores = taken(signals, range(12))
    for k, fold in ((1, [0, 1, 2, 3]), (10, [8, 9, 10, 11])):
        rest = signals.of_models(np.setdiff1d(np.arange(12), fold))
        members = float((signals.trained_on[k] == 1).mean())
        by_hand = replace(rest, target=signals.shadows.of_models(np.array([k])), members=members)  # type: ignore[union-attr]
        expected = LEARNED.score(by_hand, Seeds(0).rng("shadow attack:learned", fold[0]))
        np.testing.assert_array_equal(scores[k], expected)


@pytest.mark.slow
def test_nothing_of_a_fold_teaches_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another answer of a model of the fold moves that model's scores alone."""
    monkeypatch.setattr(folds, "FOLDS", 3)
    signals = table()
    phi = signals.shadows.phi[:, :, 0]  # type: ignore[union-attr]
    phi[4] = np.random.default_rng(9).normal(size=RECORDS)
    moved = replace(signals, shadows=answers(phi))
    before, after = (taken(each, range(4, 8)) for each in (signals, moved))
    assert (before[0] != after[0]).any()
    np.testing.assert_array_equal(before[1:], after[1:])


@pytest.mark.slow
def test_order_and_number_of_turns_change_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "FOLDS", 3)
    signals = table(full=10)
    whole = taken(signals, range(12))
    some = [9, 2, 5, 11]
    np.testing.assert_array_equal(taken(signals, some), whole[some])
    kept = KeptTurns(tmp_path, signals, EVALUATED, Seeds(0))
    taken(signals, some, kept=kept)
    np.testing.assert_array_equal(taken(signals, range(12), kept=kept), whole)


@pytest.mark.parametrize(("pairs", "lessons", "most"), [(4, 4, 2), (16, 16, 2), (17, 9, 4), (64, 16, 8)])
def test_lessons_are_few_and_most_models_teach(pairs: int, lessons: int, most: int) -> None:
    recording = Recording()
    taken(table(pairs), range(2 * pairs), recording.attack)
    assert len(recording.tables) == lessons
    assert min(len(each.trained_on) for each in recording.tables) == 2 * pairs - most


def test_no_taught_model_is_a_target_or_its_complement() -> None:
    signals, recording = table(pairs=17), Recording()
    taken(signals, range(34), recording.attack)
    for each in recording.tables:
        held = {row.tobytes() for row in each.trained_on}
        out = [k for k in range(34) if signals.trained_on[k].tobytes() not in held]
        clusters = clusters_of(signals.trained_on)
        assert sorted(clusters[out]) == sorted(list(set(clusters[out])) * 2), "whole pairs"
        assert each.target.log_p.tobytes() in {signals.shadows.log_p[k].tobytes() for k in out}  # type: ignore[union-attr]


def test_models_without_a_complement_teach_apart() -> None:
    signals, recording = table(pairs=4, alone=2), Recording()
    taken(signals, range(10), recording.attack)
    assert [len(each.trained_on) for each in recording.tables] == [9, 9, 8, 8, 8, 8], "those first that are in no fold"


@pytest.mark.slow
def test_full_answers_of_some_models_teach_of_these_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fold with and without: what is learned from full answers is asked of targets that have them."""
    monkeypatch.setattr(folds, "FOLDS", 3)
    signals, recording = table(full=10), Recording()
    taken(signals, range(12), recording.attack)
    assert [each.target.vectors is not None for each in recording.tables] == [True, True, True, False]
    assert np.isfinite(taken(signals, range(12))).all()


def test_reasons_to_skip_hold_in_turns_too() -> None:
    assert take_all_turns(table(pairs=2), [LEARNED], range(4), EVALUATED, Seeds(0)) == []
