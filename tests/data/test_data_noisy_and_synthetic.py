"""Shadow data without access to the distribution: noisy records, and records climbed towards the target's answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from memberwise.data import Dataset, assign_roles
from memberwise.data.noisy import append_records, noisy_auxiliary, with_noise
from memberwise.data.role_spec import RoleSpec
from memberwise.data.synthesis import Climb, drawn, synthesise
from memberwise.errors import StudyError
from memberwise.seeds import Seeds


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 30), st.integers(1, 40), st.floats(0.01, 0.99), st.integers(0, 99))
def test_so_many_bits_flip_in_each_record(records: int, features: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (records, features)).astype(np.float32)
    x[0], x[1] = 0, 1  # both values occur in every column
    changed = with_noise(x, share, rng)
    assert ((changed != x).sum(1) == max(1, round(share * features))).all()
    assert set(np.unique(changed)) <= {0.0, 1.0}


def test_other_features_take_values_that_occur_there() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4, 5))
    changed = with_noise(x, 0.3, rng)
    assert changed.shape == x.shape
    flat, before = changed.reshape(50, -1), x.reshape(50, -1)
    assert all(set(flat[:, j]) <= set(before[:, j]) for j in range(20))
    assert 0.2 < (flat != before).mean() <= 0.3


def test_noisy_copies_take_the_auxiliary_records_place() -> None:
    rng = np.random.default_rng(0)
    dataset = Dataset((rng.random((100, 10)) < 0.5).astype(np.float32), rng.integers(0, 2, 100), ("a", "b"), "test")
    wants = RoleSpec(members=20, nonmembers=20, auxiliary=40)
    dataset, roles = assign_roles(dataset, wants, Seeds(1))
    more, noisy = noisy_auxiliary(dataset, roles, 0.2, Seeds(1))
    assert more.records == 140
    np.testing.assert_array_equal(noisy.auxiliary, np.arange(100, 140))
    np.testing.assert_array_equal(more.y[100:], dataset.y[roles.auxiliary])
    assert ((more.x[100:] != dataset.x[roles.auxiliary]).sum(1) == 2).all()
    np.testing.assert_array_equal(noisy.members, roles.members)
    _, without = assign_roles(dataset, RoleSpec(members=20, nonmembers=20), Seeds(1))
    with pytest.raises(StudyError, match="auxiliary"):
        noisy_auxiliary(dataset, without, 0.2, Seeds(1))


def template_target(templates: Any, sharp: float = 1.0) -> Any:
    """p_c falls with the Hamming distance to the class's template."""

    def ask(x: Any) -> Any:
        return softmax(-sharp * np.abs(x[:, None] - templates[None]).sum(-1), axis=1)

    return ask


BITS = (np.zeros(40, np.float32), np.ones(40, np.float32), np.ones(40, bool))


def test_chains_climb_to_what_the_target_is_sure_of() -> None:
    rng = np.random.default_rng(0)
    templates = (rng.random((3, 40)) < 0.5).astype(float)
    ask, asked = template_target(templates), []

    def counting(x: Any) -> Any:
        asked.append(len(x))
        return ask(x)

    climb = Climb(k_max=20, k_min=2, conf_min=0.9, rej_max=5, iter_max=400)
    made = synthesise(counting, np.array([5, 8, 6]), *BITS, climb, np.random.default_rng(1))
    np.testing.assert_array_equal(np.bincount(made.y), [5, 8, 6])
    p = ask(made.x)
    np.testing.assert_array_equal(p.argmax(1), made.y)
    assert (p[np.arange(len(p)), made.y] > 0.9).all()
    assert made.queries == sum(asked)
    assert made.failures.sum() == 0
    again = synthesise(ask, np.array([5, 8, 6]), *BITS, climb, np.random.default_rng(1))
    np.testing.assert_array_equal(again.x, made.x)
    nearer = np.abs(made.x - templates[made.y]).sum(1).mean()
    assert nearer < np.abs(drawn(*BITS, (200,), rng) - templates[0]).sum(1).mean() - 3


def test_an_impossible_class_fails_and_is_counted() -> None:
    def ask(x: Any) -> Any:
        return np.tile([0.9, 0.1], (len(x), 1))

    climb = Climb(iter_max=20)
    made = synthesise(ask, np.array([4, 4]), *BITS, climb, np.random.default_rng(1))
    assert (made.y == 0).all()
    assert len(made.y) == 4
    assert made.failures.tolist()[1] == 3 * 4, "three tries for each record wanted"


def test_features_drawn_anew_never_fewer_than_k_min() -> None:
    """A target that rejects everything after the first answer shows how many features a proposal changes."""
    seen: list[np.ndarray] = []

    def ask(x: Any) -> Any:
        seen.append(x.copy())
        level = 0.3 if len(seen) == 1 else 0.1
        return np.tile([level, 1 - level], (len(x), 1))

    climb = Climb(k_max=16, k_min=3, rej_max=2, iter_max=40)
    low, high, some = np.zeros(40, np.float32), np.ones(40, np.float32), np.zeros(40, bool)
    synthesise(ask, np.array([1, 0]), low, high, some, climb, np.random.default_rng(1))
    changed = [(x != seen[0]).sum() for x in seen[1:40]]
    assert changed[:3] == [16, 16, 16]
    assert changed[3:6] == [8, 8, 8]
    assert set(changed[-10:]) == {3}


def test_appended_records_keep_the_type() -> None:
    dataset = Dataset(np.zeros((3, 2, 2), np.uint8), np.zeros(3, np.int64), ("a",), "test")
    more = append_records(dataset, np.full((2, 2, 2), 7), np.zeros(2, np.int64))
    assert more.x.dtype == np.uint8
    assert more.records == 5
