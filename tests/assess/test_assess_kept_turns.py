"""Turns on disk: what was computed is not computed again, and what they depend on changed is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_expit

import memberwise as mw
from memberwise.assess.kept_turns import KeptTurns, table_hash
from memberwise.assess.turns import take_all_turns
from memberwise.attacks import ATTACKS, Attack
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Answers, Signals

RECORDS, MODELS = 30, 8
EVALUATED = np.ones(RECORDS, bool)


def table(seed: int = 0) -> Signals:
    rng = np.random.default_rng(seed)
    first = rng.random((MODELS // 2, RECORDS)).argsort(1) < RECORDS // 2
    trained_on = np.stack([first, ~first], 1).reshape(MODELS, RECORDS).astype(np.int8)

    def answers(models: int) -> Answers:
        phi = rng.normal(size=(models, RECORDS, 1))
        return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0)

    return Signals(np.arange(RECORDS), np.zeros(RECORDS, np.int64), answers(1), answers(MODELS), trained_on)


class Counting:
    """An attack that counts its calls, and stops at one of them."""

    def __init__(self, name: str = "counting", stops_at: int | None = None) -> None:
        self.calls, self.stops_at = 0, stops_at
        self.attack = Attack(name, self.score, ATTACKS["loss"].needs, "here", "counts")

    def score(self, signals: Any, rng: Any) -> Any:
        self.calls += 1
        if self.calls == self.stops_at:
            raise KeyboardInterrupt
        return signals.target.phi[0, :, 0] - signals.shadows.phi.mean((0, 2)) + 1e-3 * rng.random(RECORDS)


def taken(folder: Path | None, signals: Signals, *attacks: Attack, seed: int = 0) -> dict[str, Any]:
    kept = None if folder is None else KeptTurns(folder, signals, EVALUATED, Seeds(seed))
    turns = take_all_turns(signals, attacks, range(MODELS), EVALUATED, Seeds(seed), kept)
    return {one.attack: one.scores for one in turns}


def test_killed_in_mid_turns_nothing_is_computed_again(tmp_path: Path) -> None:
    signals, broken, rest = table(), Counting(stops_at=6), Counting()
    with pytest.raises(KeyboardInterrupt):
        taken(tmp_path, signals, broken.attack)
    found = taken(tmp_path, signals, rest.attack)
    assert rest.calls == MODELS - 5
    np.testing.assert_array_equal(found["counting"], taken(None, signals, Counting().attack)["counting"])
    again = Counting()
    taken(tmp_path, signals, again.attack)
    assert again.calls == 0


def test_attack_that_is_added_leaves_the_others_alone(tmp_path: Path) -> None:
    signals, first, second = table(), Counting("first"), Counting("second")
    taken(tmp_path, signals, first.attack)
    found = taken(tmp_path, signals, first.attack, second.attack)
    assert (first.calls, second.calls) == (MODELS, MODELS)
    assert list(found) == ["first", "second"]
    taken(tmp_path, signals, second.attack, first.attack)
    assert (first.calls, second.calls) == (MODELS, MODELS)


@pytest.mark.parametrize("what", ["answers", "trained_on", "seed", "labels"])
def test_turns_of_something_else_are_computed_anew(tmp_path: Path, what: str) -> None:
    signals, other, counting = table(), table(), Counting()
    taken(tmp_path, signals, Counting().attack)
    if what == "answers":
        assert other.shadows is not None
        other.shadows.log_p[3, 4] -= 1
    elif what == "trained_on":
        other = replace(other, trained_on=1 - other.trained_on)
    elif what == "labels":
        other = replace(other, labels=other.labels + 1)
    found = taken(tmp_path, other, counting.attack, seed=int(what == "seed"))
    assert counting.calls == MODELS
    np.testing.assert_array_equal(
        found["counting"], taken(None, other, Counting().attack, seed=int(what == "seed"))["counting"]
    )


def test_harmed_turn_is_computed_again(tmp_path: Path) -> None:
    signals, counting = table(), Counting()
    taken(tmp_path, signals, Counting().attack)
    (tmp_path / "turn-00002.npz").write_bytes(b"no such file")
    taken(tmp_path, signals, counting.attack)
    assert counting.calls == 1


def test_another_target_and_other_groups_change_no_turn() -> None:
    signals = table()
    other = replace(signals, target=table(5).target, groups=np.array(["a"] * RECORDS))
    assert table_hash(signals) == table_hash(other)
    assert table_hash(signals) != table_hash(replace(signals, known=np.full(RECORDS, np.nan)))


@pytest.mark.slow
def test_loaded_signals_hold_the_turns(tmp_path: Path) -> None:
    small = {"data": "digits", "members": 60, "nonmembers": 60, "shadow_models": 8, "attacks": ["loss", "base"]}
    settings = {"training.epochs": 3, "model.hidden": [8], "run.device": "cpu"}
    mw.audit(**small, settings=settings, out=tmp_path)  # type: ignore[arg-type]
    signals = mw.load_signals(tmp_path)
    assert signals.turns is not None
    assert signals.shadows is not None
    assert signals.turns["base"].shape == (8, 120)
    for k in range(8):
        stand_in = as_target(signals, k, np.random.default_rng(0))
        expected = ATTACKS["base"].score(stand_in.signals, np.random.default_rng(0))
        np.testing.assert_array_equal(signals.turns["base"][k], expected)
    assert (tmp_path / "turns" / "turn-00000.npz").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_turns_of_saved_answers_are_kept_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    first = rng.random((4, 40)).argsort(1) < 20
    trained_on = np.stack([first, ~first], 1).reshape(8, 40).astype(int)
    labels, member = rng.integers(0, 3, 40), np.arange(40) < 20
    saved: dict[str, Any] = {
        "outputs": {"logits": rng.normal(size=(40, 3)), "labels": labels, "member": member},
        "shadow_outputs": {"logits": rng.normal(size=(8, 40, 3)), "trained_on": trained_on},
    }
    whole = mw.audit(**saved, attacks=["loss", "base"], out=tmp_path)
    turns = mw.load_signals(tmp_path, **saved).turns
    assert turns is not None
    assert np.isfinite(turns["base"]).all()
    taken, one_turn = [], take_all_turns.__globals__["_one_turn"]

    def counted(*arguments: Any) -> Any:
        taken.append(arguments[2])
        return one_turn(*arguments)

    monkeypatch.setattr("memberwise.assess.turns._one_turn", counted)
    (tmp_path / "turns" / "turn-00005.npz").unlink()
    again = mw.audit(**saved, attacks=["loss", "base"], out=tmp_path)
    assert set(taken) == {5}
    assert again.parts.recipe == whole.parts.recipe
