"""Votes against a slow loop, record by record; noise falls with the distance to the boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from collector_models import LabelsOf, Linear, asked_about, gather_extras
from scipy.stats import spearmanr

from memberwise.signals.collectors import votes
from memberwise.signals.collectors.votes import FLIP_RATES, NOISE, Augmented, Noised
from memberwise.signals.views import rotated


def images(rng: Any, records: int = 30, size: int = 6) -> tuple[Any, Any, Any]:
    model = Linear(rng.normal(size=size * size).astype(np.float32), np.float32(0))
    x = rng.random((records, size, size), np.float32)
    model.b = -float(np.median(x.reshape(records, -1) @ model.w))
    return model, x, rng.integers(0, 2, records)


def table(rng: Any, records: int = 60) -> tuple[Any, Any, Any]:
    """Columns 0 to 39 binary (0 and 1, or -1 and 2), the others not."""
    x = rng.normal(size=(records, 46)).astype(np.float32)
    x[:, :20] = rng.integers(0, 2, (records, 20))
    x[:, 20:40] = 3 * rng.integers(0, 2, (records, 20)) - 1
    model = Linear(rng.normal(size=46).astype(np.float32), np.float32(0))
    return model, x, (model.margin(x) > 0).astype(np.int64)


def test_bits_of_images_are_those_of_a_slow_loop() -> None:
    model, x, y = images(np.random.default_rng(0))
    arrays = gather_extras(model, asked_about(x, y, Augmented()))
    bits = arrays["audited.extra.augmented"][0]
    assert bits.shape == (30, 18)
    np.testing.assert_array_equal(arrays["audited.extra.augmented.queries"], 18)
    slow = np.zeros_like(bits)
    for i in range(30):
        padded = np.pad(x[i], 1, mode="reflect")
        copies = [x[i], padded[1:-1, 2:], padded[1:-1, :-2], padded[2:, 1:-1], padded[:-2, 1:-1]]
        copies += [rotated(x[i], angle) for angle in (-8.0, -4.0, 4.0, 8.0)]
        copies += [copy[:, ::-1] for copy in copies]
        for q, copy in enumerate(copies):
            slow[i, q] = (model.margin(np.ascontiguousarray(copy)[None])[0] > 0) == y[i]
    np.testing.assert_array_equal(bits, slow)


def test_rotation_turns_the_image_and_keeps_its_centre() -> None:
    x = np.zeros((1, 9, 9), np.float32)
    x[0, 4, 4], x[0, 4, 8] = 1, 1
    turned = rotated(x, 90.0)
    assert turned[0, 4, 4] == 1
    assert turned[0, 0, 4] > 0.99 or turned[0, 8, 4] > 0.99
    assert turned.dtype == np.float32


def test_tables_are_flipped_in_binary_columns_only() -> None:
    model, x, y = table(np.random.default_rng(1))
    questions = asked_about(x, y, Augmented())
    views = votes.augmentations(questions)
    assert len(views) == 19
    sizes = []
    for view in views[1:]:
        changed = view(x) != x
        assert not changed[:, 40:].any()
        assert (changed == changed[0]).all(), "the same columns for every record"
        sizes.append(int(changed[0].sum()))
        np.testing.assert_array_equal(np.unique(view(x)[:, 20:40]), [-1, 2])
    assert sizes == [1] * 12 + [2] * 6
    bits = gather_extras(model, questions)["audited.extra.augmented"]
    assert bits.shape == (1, 60, 19)
    assert bits[0, :, 0].all()


def test_table_without_binary_columns_is_not_flipped() -> None:
    rng = np.random.default_rng(2)
    model = Linear(rng.normal(size=4).astype(np.float32), np.float32(0))
    arrays = gather_extras(
        model, asked_about(rng.normal(size=(9, 4)).astype(np.float32), np.zeros(9, int), Augmented())
    )
    assert list(arrays) == ["extra.augmented"]


def test_noise_keeps_label_longer_far_from_the_boundary() -> None:
    rng = np.random.default_rng(3)
    model = Linear(rng.normal(size=10).astype(np.float32), np.float32(0.2))
    x = rng.normal(size=(200, 10)).astype(np.float32)
    y = (model.margin(x) > 0).astype(np.int64)
    arrays = gather_extras(model, asked_about(x, y, Noised(200)))
    shares = arrays["audited.extra.noised"][0]
    np.testing.assert_array_equal(arrays["audited.extra.noised.queries"], 1000)
    # The noise is the same for all records: along one side of the boundary the share cannot fall with the distance.
    for side in (0, 1):
        order = np.argsort(np.abs(model.margin(x[y == side])))
        assert (np.diff(shares[y == side][order], axis=0) >= -1e-6).all()
    assert spearmanr(shares.mean(-1), np.abs(model.margin(x))).statistic > 0.95
    assert (np.diff(shares.mean(0)) < 0).all(), "stronger noise keeps fewer labels"


def test_misclassified_records_lose_where_others_win() -> None:
    rng = np.random.default_rng(4)
    model = Linear(rng.normal(size=10).astype(np.float32), np.float32(0))
    x = rng.normal(size=(50, 10)).astype(np.float32)
    y = (model.margin(x) > 0).astype(np.int64)
    right, wrong = (
        gather_extras(model, asked_about(x, labels, Noised()))["audited.extra.noised"] for labels in (y, 1 - y)
    )
    np.testing.assert_allclose(right + wrong, 1, atol=1e-6)


def test_noise_of_mixed_tables_flips_columns_at_rates() -> None:
    _, x, y = table(np.random.default_rng(5))
    views = votes.noises(asked_about(x, y), copies=200)
    for strength, (sigma, rate) in enumerate(zip(NOISE, FLIP_RATES, strict=True)):
        moved = np.stack([view(x) for view in views[200 * strength : 200 * (strength + 1)]])
        flips = (moved[:, 0, :40] != x[0, :40]).mean()
        assert abs(flips - rate) < 4 * np.sqrt(rate / 8000)
        np.testing.assert_array_equal(np.unique(moved[..., :20]), [0, 1])
        spread = (moved - x)[:, 0, 40:].std() / x[:, 40:].std(0).mean()
        assert abs(spread / sigma - 1) < 0.15


def test_images_stay_in_their_range() -> None:
    _, x, y = images(np.random.default_rng(6))
    for view in votes.noises(asked_about(x, y), copies=2):
        assert x.min() <= view(x).min()
        assert view(x).max() <= x.max()


def test_labels_are_all_they_see_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = images(np.random.default_rng(7))
    questions = asked_about(x, y, Augmented(), Noised())
    whole = gather_extras(model, questions)
    monkeypatch.setattr(votes, "CHUNK_VALUES", 50)
    for arrays in (gather_extras(LabelsOf(model), questions), gather_extras(model, questions)):
        for name, values in whole.items():
            np.testing.assert_array_equal(arrays[name], values)
