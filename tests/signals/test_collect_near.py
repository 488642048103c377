"""Copies that hardly differ, and what services that draw their answers say about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from collector_models import Linear, asked_about, gather_extras

from memberwise.signals.collectors.near import COLUMN, PIXEL, NearCopies, near_copies
from memberwise.targets.base import Target


class Drawn(Target):
    """Labels by chance, 1 with a probability that the first feature says; each new record is drawn once."""

    kind = "labels"

    def __init__(self) -> None:
        self.rng, self.stored = np.random.default_rng(0), dict[bytes, int]()

    def __len__(self) -> int:
        return 1

    def predict(self, x: Any) -> Any:
        drawn = [int(u < round(row[0], 2)) for row, u in zip(x, self.rng.random(len(x)), strict=True)]
        return np.array([[self.stored.setdefault(row.tobytes(), one) for row, one in zip(x, drawn, strict=True)]])


def images() -> Any:
    return np.random.default_rng(0).random((40, 6, 6)).astype(np.float32)


def numbers() -> Any:
    return np.random.default_rng(1).normal(size=(40, 4)).astype(np.float32)


def flags() -> Any:
    return np.random.default_rng(2).integers(0, 2, (40, 30)).astype(np.float32)


@pytest.mark.parametrize(("x", "most"), [(images(), PIXEL), (numbers(), 5.01 * COLUMN * 2), (flags(), 1.0)])
def test_a_copy_differs_in_one_feature_by_little(x: Any, most: float) -> None:
    views = near_copies(asked_about(x, np.zeros(40, int)), 20)
    copies = np.stack([view(x) for view in views]).reshape(21, 40, -1)
    changed = copies[1:] != copies[0]
    assert (copies[0] == x.reshape(40, -1)).all()
    assert (changed.sum(-1) == 1).all()
    assert np.abs(copies - copies[0]).max() <= most
    assert x.min() <= copies.min()
    assert copies.max() <= x.max()
    assert all(len({copy.tobytes() for copy in copies[:, i]}) == 21 for i in range(40)), "all are new records"


def test_constant_features_leave_nothing_to_ask() -> None:
    x = np.ones((9, 3), np.float32)
    assert near_copies(asked_about(x, np.zeros(9, int)), 20)[1:] == []
    arrays = gather_extras(
        Linear(np.ones(3, np.float32), np.float32(0)), asked_about(x, np.zeros(9, int), NearCopies())
    )
    assert list(arrays) == ["extra.near"]


def test_a_model_answers_copies_as_it_answers_the_record() -> None:
    x = numbers()
    model = Linear(np.ones(4, np.float32), np.float32(0.1))
    y = np.arange(40) % 2
    arrays = gather_extras(model, asked_about(x, y, NearCopies()))
    right = (model.margin(x) > 0) == y
    far = np.abs(model.margin(x)) > 0.05
    np.testing.assert_array_equal(arrays["audited.extra.near.queries"], 21)
    values = arrays["audited.extra.near"][0]
    np.testing.assert_array_equal(values[far], np.stack([right, right, np.ones(40)], -1)[far])


def test_answers_that_are_drawn_show_their_chances() -> None:
    """Each answer is stored by record; copies are new records, so that their share tends to the chance."""
    x = numbers()
    x[:, 0] = np.linspace(0, 1, 40)
    values = gather_extras(Drawn(), asked_about(x, np.ones(40, int), NearCopies(400)))["audited.extra.near"][0]
    chance = np.round(x[:, 0], 2)
    assert np.abs(values[:, 1] - chance).max() < 0.12
    assert np.abs(values[:, 2] - np.maximum(chance, 1 - chance)).max() < 0.12
