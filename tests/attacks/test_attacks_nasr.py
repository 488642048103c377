"""Nasr's attack learns from revealed records alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from attack_tables import full_table
from sklearn.metrics import roc_auc_score

from memberwise.attacks import nasr
from memberwise.signals.knowledge import revealed


def told(signals: Any, member: Any, share: float = 0.5, seed: int = 0) -> Any:
    return replace(signals, known=revealed(member, share, np.random.default_rng(seed)))


def attack(signals: Any, seed: int = 0) -> Any:
    return nasr.score(signals, np.random.default_rng(seed))


@pytest.mark.slow
def test_separable_answers_are_told_apart() -> None:
    signals, member = full_table(np.random.default_rng(1), 600, leak=14.0)
    signals = told(signals, member)
    scores, hidden = attack(signals), np.isnan(signals.known)
    np.testing.assert_array_equal(np.isnan(scores), ~hidden)
    assert ((scores > 0) == member)[hidden].mean() > 0.95


@pytest.mark.slow
def test_it_needs_the_label_and_has_it() -> None:
    """Membership raises the class after the true one: nothing without the label, plain with it."""
    signals, member = full_table(np.random.default_rng(2), 1200)
    vectors = np.random.default_rng(3).normal(size=(1, 1200, 4)).astype(np.float32)
    np.put_along_axis(vectors, ((signals.labels + member) % 4)[None, :, None], 4.0, -1)
    signals = told(replace(signals, target=replace(signals.target, vectors=vectors)), member)
    hidden = np.isnan(signals.known)
    assert roc_auc_score(member[hidden], attack(signals)[hidden]) > 0.95


@pytest.mark.slow
def test_shuffled_membership_gives_chance() -> None:
    """Five tables, 300 hidden records each: accuracy has a standard deviation of 0.0129; the band is three."""
    found = []
    for seed in range(5):
        signals, member = full_table(np.random.default_rng(10 + seed), 600, leak=14.0)
        false = np.random.default_rng(seed).permutation(member)
        signals = told(signals, false)
        hidden = np.isnan(signals.known)
        found.append(((attack(signals) > 0) == false)[hidden].mean())
    assert abs(np.mean(found) - 0.5) < 0.039


@pytest.mark.slow
def test_unbalanced_revelation_does_not_make_everybody_a_member() -> None:
    signals, member = full_table(np.random.default_rng(4), 800, leak=14.0)
    known = told(signals, member).known
    known[np.flatnonzero(known == 0)[20:]] = np.nan
    signals = replace(signals, known=known)
    hidden = np.isnan(known)
    called = attack(signals)[hidden] > 0
    assert (called[member[hidden]].mean() + (~called)[~member[hidden]].mean()) / 2 > 0.9


@pytest.mark.slow
def test_same_seed_gives_same_scores_and_leaves_torch_alone() -> None:
    signals, member = full_table(np.random.default_rng(5), 100, leak=2.0)
    signals = told(signals, member)
    before = torch.get_rng_state()
    first = attack(signals)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(attack(signals), first)
    assert (attack(signals, 1) != first)[np.isnan(signals.known)].any()
