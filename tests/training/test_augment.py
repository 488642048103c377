"""Augmentation against slow oracles; its draws belong to a model's key alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from memberwise.models.randomness import step_keys
from memberwise.training.augment import AUGMENTATIONS, augmentation, crop, cutout, flip, mixup

SHAPES = [(16, 16), (3, 16, 16)]
IMAGES = list(AUGMENTATIONS)


def batch(count: int, shape: tuple[int, ...], models: int | None = None) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    lead = (count,) if models is None else (models, count)
    x = rng.uniform(0.1, 1.0, (*lead, *shape)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(rng.integers(0, 4, lead))


def windows(image: np.ndarray, pad: int) -> dict[tuple[int, int], np.ndarray]:
    """Every crop of a zero-padded image, by its place."""
    height, width = image.shape[-2:]
    padded = np.pad(image, [(0, 0)] * (image.ndim - 2) + [(pad, pad)] * 2)
    places = [(i, j) for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
    return {(i, j): padded[..., i : i + height, j : j + width] for i, j in places}


@pytest.mark.parametrize("shape", SHAPES)
def test_flip_mirrors_half_of_the_images(shape: tuple[int, ...]) -> None:
    x, y = batch(2000, shape)
    out, target = flip(x, y, step_keys(0, 1)[0])
    mirrored = (out == x.flip(-1)).flatten(1).all(1)
    kept = (out == x).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert torch.equal(target, y)
    assert stats.binomtest(int(mirrored.sum()), 2000).pvalue > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_crop_takes_a_random_window_of_the_padded_image(shape: tuple[int, ...]) -> None:
    x, y = batch(1500, shape)
    out, target = crop(x, y, step_keys(0, 1)[0])
    assert torch.equal(target, y)
    counts = np.zeros((5, 5))
    for before, after in zip(x.numpy(), out.numpy(), strict=True):
        [place] = [place for place, window in windows(before, 2).items() if np.array_equal(window, after)]
        counts[place] += 1
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3, "all 25 places are equally likely"


def test_crop_pads_by_an_eighth_of_each_side() -> None:
    x, y = torch.ones(400, 8, 32), torch.zeros(400, dtype=torch.long)
    out, _ = crop(x, y, step_keys(0, 1)[0])
    lost_rows, lost_columns = (out.amax(2) == 0).sum(1), (out.amax(1) == 0).sum(1)
    assert int(lost_rows.max()) == 1
    assert int(lost_columns.max()) == 4


@pytest.mark.parametrize("shape", SHAPES)
def test_cutout_hides_a_square_that_may_reach_over_the_border(shape: tuple[int, ...]) -> None:
    x, y = batch(3000, shape)
    out, target = cutout(x, y, step_keys(0, 1)[0])
    assert torch.equal(target, y)
    hidden = (out == 0).reshape(3000, -1, 16, 16)
    assert bool((hidden == hidden[:, :1]).all()), "all channels alike"
    assert bool(((out == x) | (out == 0)).all())
    seen = set()
    for mask in hidden[:, 0].numpy():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[np.ix_(rows, columns)].all()
        for side in (rows, columns):
            assert len(side) == side[-1] - side[0] + 1
            assert len(side) == 4 or side[0] == 0 or side[-1] == 15
        seen.add((rows[0], rows[-1], columns[0], columns[-1]))
    assert len(seen) == 16 * 16, "every pixel is a centre"
    first_row, last_row, first_column, last_column = np.array(sorted(seen)).T
    assert (last_row.min(), last_column.min()) == (1, 1), "two rows above the centre, the centre, one below"
    assert (first_row.max(), first_column.max()) == (13, 13)


def test_mixup_averages_pairs_and_their_targets() -> None:
    x, y = batch(50, (6,))
    key = step_keys(3, 1)[0]
    out, target = mixup(x, y, key, classes=4)
    # The weight and the partners, found from the outcome alone.
    one_hot = functional.one_hot(y, 4).float()
    torch.testing.assert_close(target.sum(1), torch.ones(50))
    for weight in [float(w) for w in target.unique() if 0 < w < 1] or [1.0]:
        partner = [
            [j for j in range(50) if torch.allclose(weight * x[i] + (1 - weight) * x[j], out[i], atol=1e-6)]
            for i in range(50)
        ]
        if all(partner):
            break
    else:
        pytest.fail("no weight explains the records")
    chosen = torch.tensor([found[0] for found in partner])
    assert sorted(chosen.tolist()) == list(range(50)), "each record is partner once"
    torch.testing.assert_close(target, weight * one_hot + (1 - weight) * one_hot[chosen])
    assert int((chosen == torch.arange(50)).sum()) < 10


@pytest.mark.slow
def test_mixup_weight_is_uniform_without_favourite_partners() -> None:
    x = torch.eye(5)
    weights, partners = [], []
    for key in step_keys(4, 2000):
        out, target = mixup(x, torch.arange(5), key, classes=5)
        torch.testing.assert_close(out, target)
        first = target[0]
        own = float(first[0])
        partners.append(int(first[1:].argmax()) + 1 if own < 1 else 0)
        if own < 1:
            weights.append(own)
    assert stats.kstest(weights, "uniform").pvalue > 1e-3
    assert stats.chisquare(np.bincount(partners, minlength=5)).pvalue > 1e-3


def test_mixup_takes_soft_targets() -> None:
    x, y = batch(20, (6,))
    key = step_keys(3, 1)[0]
    hard = mixup(x, y, key, classes=4)
    soft = mixup(x, functional.one_hot(y, 4).float(), key, classes=4)
    assert torch.equal(hard[1], soft[1])


@pytest.mark.parametrize("names", [*[[name] for name in [*IMAGES, "mixup"]], [*IMAGES, "mixup"]], ids="+".join)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_stack_gets_the_bits_of_its_models_alone(names: list[str], shape: tuple[int, ...]) -> None:
    x, y = batch(12, shape, models=5)
    keys = torch.stack([step_keys(seed, 1)[0] for seed in range(5)])
    augment = augmentation(names, 4)
    assert augment is not None
    stacked, targets = augment(x, y, keys, None)
    for some in ([3], [1, 4]):
        part, part_targets = augment(x[some], y[some], keys[some], None)
        assert torch.equal(stacked[some], part)
        assert torch.equal(targets[some], part_targets)
    assert targets.dtype is (torch.float32 if "mixup" in names else torch.int64)
    same = augment(x[:1].expand(2, -1, *[-1] * len(shape)), y[:1].expand(2, -1), keys[:2], None)[0]
    assert not torch.equal(same[0], same[1]), "two models draw differently"


@pytest.mark.parametrize("names", [["flip"], ["crop"], ["cutout"], ["mixup"]], ids="+".join)
def test_padding_changes_nothing_for_the_records_before_it(names: list[str]) -> None:
    x, y = batch(12, (16, 16), models=2)
    keys = torch.stack([step_keys(seed, 1)[0] for seed in range(2)])
    augment = augmentation(names, 4)
    assert augment is not None
    mask = torch.ones(2, 12)
    mask[:, 9:] = 0
    padded, short = augment(x, y, keys, mask), augment(x[:, :9], y[:, :9], keys, None)
    assert torch.equal(padded[0][:, :9], short[0])
    assert torch.equal(padded[1][:, :9], short[1])


def test_order_matters_and_no_names_do_nothing() -> None:
    x, y = batch(12, (16, 16), models=1)
    keys = step_keys(0, 1)
    assert augmentation([], 4) is None
    one, other = augmentation(["crop", "cutout"], 4), augmentation(["cutout", "crop"], 4)
    assert one is not None
    assert other is not None
    assert not torch.equal(one(x, y, keys, None)[0], other(x, y, keys, None)[0])


def test_draws_are_apart_from_steps_and_other_augmentations() -> None:
    x, y = batch(64, (16, 16), models=1)
    keys = step_keys(0, 1)
    once, later = augmentation(["flip"], 4), augmentation(["mixup", "flip"], 4)
    assert once is not None
    assert later is not None
    mirrored = (once(x, y, keys, None)[0] != x).flatten(2).any(2)
    by_the_steps_key = (flip(x[0], y[0], keys[0])[0] != x[0]).flatten(1).any(1)
    mixed = augmentation(["mixup"], 4)(x, y, keys, None)[0]  # type: ignore[misc]
    after_mixing = (later(x, y, keys, None)[0] != mixed).flatten(2).any(2)
    assert not torch.equal(mirrored[0], by_the_steps_key)
    assert not torch.equal(mirrored, after_mixing)
