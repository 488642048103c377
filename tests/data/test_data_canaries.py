"""Canaries and coins: which records they are, what becomes of the others, and that no record has two roles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memberwise.data import RoleSpec, assign_roles, encode, from_object
from memberwise.data.canaries import NEAR, by_coins, make_canaries
from memberwise.errors import DataError, StudyError
from memberwise.seeds import Seeds

SEEDS = Seeds(3)


@pytest.fixture
def arrays() -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, np.arange(1, 7), (900, 6)).astype(np.float32)
    return from_object((x, rng.integers(0, 4, 900)), source="test")


def roles_of(dataset: Any, **wants: Any) -> Any:
    return assign_roles(dataset, RoleSpec(**({"members": 200, "nonmembers": 200, "population": 100} | wants)), SEEDS)


def all_parts(roles: Any) -> list[Any]:
    names = ("members", "nonmembers", "background", "population", "reference", "validation", "auxiliary")
    return [getattr(roles, name) for name in names]


@pytest.mark.parametrize("kind", ["mislabelled", "out-of-distribution", "near-duplicate"])
def test_canaries_are_audited_and_clean_records_are_background(arrays: Any, kind: str) -> None:
    dataset, clean = roles_of(arrays, background=50)
    made, roles = make_canaries(dataset, clean, 60, kind, None, SEEDS)  # type: ignore[arg-type]
    assert (len(roles.members), len(roles.nonmembers)) == (30, 30)
    np.testing.assert_array_equal(roles.paired, roles.audited)
    rows = np.concatenate(all_parts(roles))
    assert len(rows) == len(set(rows))
    left = {"mislabelled": 340, "near-duplicate": 340 + 60, "out-of-distribution": 400}[kind]
    assert len(roles.background) == 50 + left
    assert set(clean.audited) <= set(rows), "every clean record has a role"
    np.testing.assert_array_equal(roles.test, roles.population)
    for k in range(4):
        own = roles.shadow_rows(k, SEEDS)
        assert len(own) == len(roles.target_rows)
        assert set(roles.background) <= set(own)
        assert np.isin(roles.audited, own).sum() == 30
    again, same = make_canaries(dataset, clean, 60, kind, None, SEEDS)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.x, made.x)
    np.testing.assert_array_equal(same.members, roles.members)


def test_mislabelled_canaries_keep_rows_and_change_label(arrays: Any) -> None:
    dataset, clean = roles_of(arrays)
    made, roles = make_canaries(dataset, clean, 200, "mislabelled", None, SEEDS)
    np.testing.assert_array_equal(made.x, dataset.x)
    changed = np.flatnonzero(made.y != dataset.y)
    np.testing.assert_array_equal(changed, roles.audited)
    assert set(changed) <= set(clean.audited)
    moved = (made.y - dataset.y)[changed] % 4
    assert min(np.bincount(moved, minlength=4)[1:]) > 40, "every other class is as likely"


def test_near_copies_are_trained_on_by_all_and_are_near(arrays: Any) -> None:
    dataset, clean = roles_of(arrays)
    made, roles = make_canaries(dataset, clean, 400, "near-duplicate", None, SEEDS)
    copies = np.arange(900, 1300)
    assert set(copies) <= set(roles.background)
    np.testing.assert_array_equal(made.y[copies], made.y[roles.audited])
    off = made.x[copies] - made.x[roles.audited]
    np.testing.assert_allclose(off.std(0) / dataset.x.std(0), NEAR, rtol=0.15)
    assert (off != 0).all()


def test_noise_has_the_marginals_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(800, 1))
    dataset, clean = roles_of(from_object((np.c_[z, z, 10 + 3 * z].astype(np.float32), np.arange(800) % 3), source="t"))
    made, roles = make_canaries(dataset, clean, 400, "out-of-distribution", None, SEEDS)
    noise = made.x[roles.audited]
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.2
    for column in range(3):
        assert set(noise[:, column]) <= set(dataset.x[clean.audited, column])
    assert noise[:, 2].std() == pytest.approx(3, rel=0.15)


def test_tables_keep_their_categories_and_groups() -> None:
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"age": rng.integers(20, 80, 700), "town": rng.choice(["a", "b", "c"], 700)})
    table = table.assign(own=rng.random(700) < 0.3, who=np.arange(700) // 2, label=rng.choice(["n", "y"], 700))
    dataset, clean = roles_of(from_object(table, source="t", group="town", unit="who"))
    for kind in ("out-of-distribution", "near-duplicate", "mislabelled"):
        made, roles = make_canaries(dataset, clean, 80, kind, None, SEEDS)
        encoded = encode(made, roles.fit_rows)
        towns = [i for i, name in enumerate(encoded.feature_names) if name.startswith("town=")]  # type: ignore[arg-type]
        np.testing.assert_array_equal(encoded.x[:, towns].sum(1), 1)
        assert len(encoded.groups) == len(encoded.x) == len(roles.units)  # type: ignore[arg-type]
        assert len(np.unique(roles.units[roles.audited])) == 80  # type: ignore[index]
        assert roles.slack == 0


def test_images_of_bytes_stay_bytes() -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (700, 8, 8), dtype=np.uint8)
    dataset, clean = roles_of(from_object((images, np.arange(700) % 2), source="t"))
    for kind in ("out-of-distribution", "near-duplicate"):
        made, roles = make_canaries(dataset, clean, 40, kind, None, SEEDS)
        assert made.x.dtype == np.uint8
    made, roles = make_canaries(dataset, clean, 40, "near-duplicate", None, SEEDS)
    near = made.x[700:].astype(int) - made.x[roles.audited]
    assert 0 < np.abs(near).max() < 12


def test_canaries_of_another_source(arrays: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.full((50, 6), 9.0, np.float32), y=np.arange(50) % 2)
    dataset, clean = roles_of(arrays)
    made, roles = make_canaries(dataset, clean, 50, "out-of-distribution", str(tmp_path / "other.npz"), SEEDS)
    assert (made.x[roles.audited] == 9).all()
    assert set(made.y[roles.audited]) == {0, 1, 2, 3}
    np.savez(tmp_path / "wide.npz", x=np.ones((50, 7), np.float32), y=np.arange(50) % 2)
    with pytest.raises(DataError, match="features"):
        make_canaries(dataset, clean, 50, "out-of-distribution", str(tmp_path / "wide.npz"), SEEDS)
    with pytest.raises(StudyError, match="not so many records"):
        make_canaries(dataset, clean, 52, "out-of-distribution", str(tmp_path / "other.npz"), SEEDS)


def test_accuracy_needs_records_that_nobody_saw(arrays: Any) -> None:
    dataset, clean = roles_of(arrays, population=0)
    with pytest.raises(StudyError, match="measure accuracy"):
        make_canaries(dataset, clean, 20, "mislabelled", None, SEEDS)
    _, roles = make_canaries(dataset, replace(clean, test=np.arange(5)), 20, "mislabelled", None, SEEDS)
    np.testing.assert_array_equal(roles.test, np.setdiff1d(np.arange(5), clean.nonmembers))


def test_coins_are_independent_and_even(arrays: Any) -> None:
    _, clean = roles_of(arrays)
    drawn = np.array([np.isin(clean.audited, by_coins(clean, Seeds(seed)).members) for seed in range(400)])
    counts = drawn.sum(1)
    assert counts.mean() == pytest.approx(200, abs=2.5)
    assert counts.std() == pytest.approx(10, rel=0.15), "a fixed half would have no spread"
    assert np.abs(np.corrcoef(drawn[:, :40].T) - np.eye(40)).max() < 0.25
    roles = by_coins(clean, SEEDS)
    np.testing.assert_array_equal(roles.audited, clean.audited)
    np.testing.assert_array_equal(roles.paired, clean.audited)
    np.testing.assert_array_equal(roles.test, roles.nonmembers)
    assert len(np.intersect1d(roles.members, roles.nonmembers)) == 0


def test_one_coin_a_unit() -> None:
    rows = np.arange(600)
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=600), "who": rows // 3, "label": rows % 2})
    _, clean = roles_of(from_object(table, source="t", unit="who"), members=150, nonmembers=150)
    roles = by_coins(clean, SEEDS)
    assert not np.isin(roles.units[roles.members], roles.units[roles.nonmembers]).any()  # type: ignore[index]
