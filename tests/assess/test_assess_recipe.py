"""Figures over all models in turn: of several attacks at once what they are of each alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_expit

from memberwise.assess.recipe import recipe_models, refitted_variances
from memberwise.assess.turns import take_all_turns
from memberwise.attacks import ATTACKS
from memberwise.seeds import Seeds
from memberwise.signals.leave_one_out import as_target
from memberwise.signals.table import Answers, Signals
from memberwise.statistics.two_way import figures_of
from memberwise.types.arrays import Floats

RECORDS, MODELS, FPRS = 80, 16, (0.1,)
EVALUATED, SEEDS = np.arange(RECORDS) > 3, Seeds(0)


def table() -> Signals:
    rng = np.random.default_rng(0)
    first = rng.random((MODELS // 2, RECORDS)).argsort(1) < RECORDS // 2
    trained_on = np.stack([first, ~first], 1).reshape(MODELS, RECORDS).astype(np.int8)

    def answers(phi: Floats) -> Answers:
        return Answers(log_expit(phi).astype(np.float32), log_expit(-phi).astype(np.float32), phi > 0)

    phi = 1.5 * trained_on[..., None] + rng.normal(size=(MODELS, RECORDS, 1))
    return Signals(np.arange(RECORDS), np.zeros(RECORDS, np.int64), answers(phi[:1]), answers(phi), trained_on)


def test_attacks_refitted_together_are_refitted_each_alone() -> None:
    signals, attacks = table(), [ATTACKS["lira-online-shrunk"], ATTACKS["base"], ATTACKS["gap"]]
    turns = take_all_turns(signals, attacks, range(MODELS), EVALUATED, SEEDS)
    together = recipe_models(signals, attacks, turns, EVALUATED, FPRS, SEEDS, None)
    for attack, one, rows in zip(attacks, together, turns, strict=True):
        [alone] = recipe_models(signals, [attack], [rows], EVALUATED, FPRS, SEEDS, None)
        np.testing.assert_array_equal(one.models.by_cluster, alone.models.by_cluster)
        np.testing.assert_array_equal(one.refitted.without, alone.refitted.without)  # type: ignore[union-attr]
        assert (one.attack, one.splits, one.n_members) == (alone.attack, alone.splits, alone.n_members)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, attacks = table(), [ATTACKS["lira-online-shrunk"], ATTACKS["base"]]
    turns, found = take_all_turns(signals, attacks, range(MODELS), EVALUATED, SEEDS), []
    for threads in (1, 4):
        monkeypatch.setattr("memberwise.models.threads.cores", lambda threads=threads: threads)
        found.append(refitted_variances(signals, attacks, turns, EVALUATED, FPRS, SEEDS))
    for attack in attacks:
        np.testing.assert_array_equal(found[0][attack.name].without, found[1][attack.name].without)


def test_refitting_leaves_each_pair_out_by_slow_loops() -> None:
    signals, attack = table(), ATTACKS["base"]
    turns = take_all_turns(signals, [attack], range(MODELS), EVALUATED, SEEDS)
    [found] = recipe_models(signals, [attack], turns, EVALUATED, FPRS, SEEDS, None)
    for pair in range(MODELS // 2):  # eight pairs, each a group of its own
        rest, rows = signals.of_models(np.setdiff1d(np.arange(MODELS), [2 * pair, 2 * pair + 1])), []
        for k in range(MODELS - 2):
            stand_in = as_target(rest, k, np.random.default_rng(0))
            scores = np.where(EVALUATED, attack.score(stand_in.signals, np.random.default_rng(0)), np.nan)
            rows.append(figures_of(scores, stand_in.member, FPRS))
        np.testing.assert_allclose(found.refitted.without[pair], np.mean(rows, 0), rtol=1e-12)  # type: ignore[union-attr]
