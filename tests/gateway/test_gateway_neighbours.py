"""Digests of records, and cells in which near copies meet and strangers do not."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

from memberwise.gateway.neighbours import cells, digest, kind_of
from memberwise.gateway.policy import Neighbourhood

SECRET = b"s" * 32
UNITS = Neighbourhood()  # for features from 0 to 1
STANDARD = Neighbourhood(step=1.0)  # for features of unit variance
Records = NDArray[np.float32]


def shared(x: Records, copies: Records, config: Neighbourhood) -> float:
    """The share of copies that lie in one of the record's cells."""
    own = cells(x[None], SECRET, config)[0]
    return float(np.mean([any(a == b for a, b in zip(own, row, strict=True)) for row in cells(copies, SECRET, config)]))


def fullest(x: Records, config: Neighbourhood) -> int:
    """Records in the fullest of all cells."""
    return max(Counter(cell for row in cells(x, SECRET, config) for cell in row).values())


def granted(x: Records, config: Neighbourhood) -> int:
    """How many of these questions fit, asked one after the other."""
    counts: Counter[bytes] = Counter()
    fit = 0
    for row in cells(x, SECRET, config):
        if all(counts[cell] < (config.questions or 0) for cell in row):
            counts.update(row)
            fit += 1
    return fit


def noised(x: Records, sd: float, seed: int = 0) -> Records:
    noise = np.random.default_rng(seed).standard_normal((200, *x.shape)) * sd
    return (x + noise).astype(np.float32)


def binary_table() -> Records:
    """Sparse binary rows in clusters, as check-ins are."""
    rng = np.random.default_rng(0)
    rates = np.clip(rng.gamma(0.5, 0.25, (20, 400)), 0, 0.9)
    return (rng.random((2000, 400)) < rates[rng.integers(0, 20, 2000)]).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(3,), (4, 8), (2, 2, 2)]))
def test_digests_differ_by_record_shape_and_secret(seed: int, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(seed).standard_normal((4, *shape)).astype(np.float32)
    one = digest(x, SECRET)
    assert one == [digest(row[None], SECRET)[0] for row in x]
    assert len({*one, *digest(x, b"another"), *digest(x.reshape(4, -1, 1), SECRET)}) == 12


def test_minus_zero_is_the_same_record() -> None:
    zeros = [np.array([[zero, 1.0]], np.float32) for zero in (0.0, -0.0)]
    assert digest(zeros[0], SECRET) == digest(zeros[1], SECRET)


def test_cells_depend_on_the_secret_not_on_the_batch() -> None:
    x = np.random.default_rng(0).random((5, 20), np.float32)
    together = cells(x, SECRET, UNITS)
    assert together == [cells(row[None], SECRET, UNITS)[0] for row in x]
    assert {len(row) for row in together} == {UNITS.tables}
    every = {cell for row in together for cell in row}
    assert not every & {cell for row in cells(x, b"another", UNITS) for cell in row}
    assert {len(cell) for cell in every} == {16}


def test_flipped_bits_stay_in_the_neighbourhood() -> None:
    x = binary_table()
    rng = np.random.default_rng(1)
    shares = {
        rate: np.mean(
            [shared(row, np.abs(row - (rng.random((200, 400)) < rate)).astype(np.float32), UNITS) for row in x[:8]]
        )
        for rate in (0.01, 0.02)
    }
    assert shares[0.01] > 0.6
    assert shares[0.02] > 0.3
    assert fullest(x, UNITS) < 40


def test_noise_on_binary_rows_stays_in_it() -> None:
    x = binary_table()
    assert np.mean([shared(row, noised(row, 0.015), UNITS) for row in x[:8]]) > 0.85


def one_hot_table(sizes: tuple[int, ...]) -> Records:
    """Rows of as many categories, common ones far more often than rare ones, and three numbers."""
    rng = np.random.default_rng(0)
    numbers = [rng.standard_normal((4000, 3))]
    for size in sizes:
        rates = 1 / np.arange(1, size + 1)
        numbers.append(np.eye(size)[rng.choice(size, 4000, p=rates / rates.sum())])
    return np.concatenate(numbers, axis=1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(8,) * 9, (8,) * 9 + (300,), (40,) * 9], ids=["75", "375", "363"])
def test_one_hot_rows_are_strangers_and_their_copies_not(sizes: tuple[int, ...]) -> None:
    x = one_hot_table(sizes)
    assert granted(x, UNITS) > 0.98 * len(x)
    copies = np.repeat(x[:8, None], 200, axis=1)
    copies[:, :, :3] += np.random.default_rng(1).standard_normal((8, 200, 3)) * 0.05
    assert np.mean([shared(row, some, UNITS) for row, some in zip(x[:8], copies, strict=True)]) > 0.85


def test_noised_continuous_rows_share_cells() -> None:
    data = load_breast_cancer().data
    x = ((data - data.mean(0)) / data.std(0)).astype(np.float32)
    assert np.mean([shared(row, noised(row, 0.05), STANDARD) for row in x[:8]]) > 0.95
    assert np.mean([shared(row, noised(row, 0.1), STANDARD) for row in x[:8]]) > 0.85
    assert fullest(x, STANDARD) < 50


def test_digits_near_copies_share_and_strangers_not() -> None:
    x = (load_digits().data / 16).astype(np.float32)
    assert np.mean([shared(row, noised(row, 0.02), UNITS) for row in x[:8]]) > 0.85
    assert fullest(x, UNITS) < 50


def test_images_share_under_noise_and_brightness() -> None:
    grid = np.linspace(0, 1, 28)
    rng = np.random.default_rng(0)
    waves = rng.integers(1, 5, (300, 3, 2))
    x = np.sin(
        6 * (waves[..., 0, None, None] * grid[:, None] + waves[..., 1, None, None] * grid)
        + rng.random((300, 3, 1, 1)) * 6
    ).mean(1).astype(np.float32) / 2 + np.float32(0.5)
    assert np.mean([shared(row, noised(row, 0.02), UNITS) for row in x[:8]]) > 0.85
    assert shared(x[0], np.stack([x[0] * 0.7, x[0] + 0.2]).astype(np.float32), UNITS) == 1
    assert fullest(x, UNITS) < 20


def test_a_thousand_near_copies_are_soon_refused() -> None:
    row = (load_digits().data[0] / 16).astype(np.float32)
    copies = np.concatenate([noised(row, 0.01, seed) for seed in range(5)])
    assert granted(copies, UNITS) < 150
    assert granted((load_digits().data / 16).astype(np.float32), UNITS) == 1797


@pytest.mark.slow
def test_location_30_flips_share_and_records_do_not(real_data: Path) -> None:
    with np.load(real_data / "location30.npz", allow_pickle=False) as file:
        x = next(file[name] for name in file.files if file[name].ndim == 2).astype(np.float32)
    rng = np.random.default_rng(0)
    flipped = [np.abs(row - (rng.random((200, x.shape[1])) < 0.01)).astype(np.float32) for row in x[:20]]
    assert np.mean([shared(row, some, UNITS) for row, some in zip(x[:20], flipped, strict=True)]) > 0.6
    assert granted(x, UNITS) == len(x)


@pytest.mark.slow
def test_mnist_noise_shares_and_records_do_not(real_data: Path) -> None:
    with np.load(real_data / "mnist.npz", allow_pickle=False) as file:
        x = next(file[name] for name in file.files if file[name].ndim >= 3)[:10_000].reshape(-1, 28, 28)
    x = x.astype(np.float32) / 255
    assert np.mean([shared(row, noised(row, 0.03), UNITS) for row in x[:20]]) > 0.85
    assert granted(x, UNITS) == len(x)


def test_shapes_are_told_apart() -> None:
    kinds = {shape: kind_of(shape, UNITS) for shape in [(28, 28), (3, 32, 32), (64,), (4, 100), (2, 3, 4, 5)]}
    assert kinds == {(28, 28): "image", (3, 32, 32): "image", (64,): "cells", (4, 100): "cells", (2, 3, 4, 5): "cells"}
    assert kind_of((28, 28), Neighbourhood(kind="cells")) == "cells"


@pytest.mark.parametrize("kind", ["cells", "image"])
@pytest.mark.parametrize("shape", [(1,), (8, 8), (1, 8, 8), (3, 2, 2)])
def test_odd_records_have_cells_too(kind: str, shape: tuple[int, ...]) -> None:
    config = Neighbourhood.model_validate({"kind": kind, "tables": 3})
    edge = np.finfo(np.float32)
    x = np.stack([np.zeros(shape), np.full(shape, edge.max), np.full(shape, edge.min), np.full(shape, edge.tiny)])
    rows = cells(x.astype(np.float32), SECRET, config)
    assert [len(row) for row in rows] == [3] * 4
    assert cells(x[:0].astype(np.float32), SECRET, config) == []
