"""Keyed numbers are uniform, independent of the stack, and different by key and use."""

from __future__ import annotations

import torch
from scipy import stats
from torch.func import vmap
from torch.nn import functional

from memberwise.models.randomness import KeyedDropout, fold, normal, step_keys, uniform


def test_uniform_and_normal_have_their_distributions() -> None:
    key = step_keys(3, 1)[0]
    assert stats.kstest(uniform(key, (50_000,)).numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal(key, (50_000,)).numpy(), "norm").pvalue > 1e-3
    assert float(uniform(key, (100_000,)).max()) < 1.0


def test_uniform_is_the_stated_hash() -> None:
    """lowbias32 of (lowbias32 of position + low half of the key) xor its high half, in Python's whole numbers."""

    def mixed(word: int) -> int:
        word = ((word ^ (word >> 16)) * 0x7FEB352D) % 2**32
        word = ((word ^ (word >> 15)) * 0x846CA68B) % 2**32
        return word ^ (word >> 16)

    for key in step_keys(5, 20).tolist():
        slow = [(mixed(mixed((i + key) % 2**32) ^ (key >> 32)) >> 8) / 2**24 for i in range(50)]
        assert uniform(torch.tensor(key), (50,)).tolist() == slow


def test_normal_numbers_of_an_odd_count_are_uncorrelated() -> None:
    draws = normal(step_keys(7, 1)[0], (200_001,))
    first, second = draws[:100_000], draws[100_001:]
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.015
    assert abs(float((first**2 * second**2).mean()) - 1) < 0.05, "squares of a pair's two numbers are independent too"
    assert abs(float(draws.var()) - 1) < 0.015


def test_different_keys_and_uses_are_uncorrelated() -> None:
    one, two = step_keys(3, 2)
    draws = torch.stack([uniform(k, (20_000,)) for k in (one, two, fold(one, 1), fold(one, 2))])
    correlation = torch.corrcoef(draws) - torch.eye(4)
    assert float(correlation.abs().max()) < 0.04


def test_a_stack_draws_what_its_models_draw_alone() -> None:
    keys = step_keys(9, 4)
    stacked = vmap(lambda key: uniform(key, (7, 5)))(keys)
    for i, key in enumerate(keys):
        assert torch.equal(stacked[i], uniform(key, (7, 5)))


def test_dropout_keeps_its_share_and_its_scale() -> None:
    with KeyedDropout(step_keys(1, 1)[0]):
        out = functional.dropout(torch.ones(400, 500), 0.3, training=True)
        again = functional.dropout(torch.ones(400, 500), 0.3, training=True)
        channels = functional.dropout2d(torch.ones(50, 40, 3, 3), 0.5, training=True)
    assert abs(float((out > 0).float().mean()) - 0.7) < 0.005
    assert torch.allclose(out[out > 0], torch.tensor(1 / 0.7))
    assert not torch.equal(out, again), "two layers must not share a mask"
    assert ((channels > 0).flatten(2).float().mean(-1) % 1 == 0).all(), "whole channels are dropped"
