"""Defences that ask about other inputs: image noise, HAMP, LDL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from output_models import given, linear, records, served

from memberwise.defences.output.features import Features
from memberwise.defences.output.hamp import Hamp, in_order_of, random_inputs
from memberwise.defences.output.image_noise import ImageNoise
from memberwise.defences.output.keyed import FromGenerator
from memberwise.defences.output.ldl import Ldl
from memberwise.targets.models import FunctionModels


def seen_by(defence: Any, x: Any) -> Any:
    """What a model is asked instead of ``x``."""
    asked = []
    models = FunctionModels([lambda x: asked.append(x.copy()) or np.zeros((len(x), 3))], "logits")  # type: ignore[func-returns-value]
    served(models, defence, members=x).predict(x)
    return asked


@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_shared_draw_moves_pixels_alike_and_own_draws_do_not(noise: str) -> None:
    x = np.full((500, 5, 5), 0.5, np.float32)
    x += np.linspace(0, 0.2, 500, dtype=np.float32)[:, None, None]
    (shared,) = seen_by(ImageNoise(r=0.05, noise=noise), x)
    moves = (shared - x).reshape(500, -1)
    assert np.ptp(moves, axis=1).max() < 1e-6
    (apart,) = seen_by(ImageNoise(r=0.05, draw="pixel", noise=noise), x)
    moved = (apart - x).ravel()
    expected = 0.05 if noise == "gaussian" else 0.05 / np.sqrt(3)
    # Records whose cells are the same share their noise: about 7 different ones of 25 pixels.
    assert moved.std() == pytest.approx(expected, rel=0.25)
    assert np.abs(moved).max() <= 0.05 + 1e-6 if noise == "uniform" else np.abs(moved).max() > 0.05


def test_pixels_stay_in_range_and_table_features_need_not() -> None:
    (image,) = seen_by(ImageNoise(r=0.9, draw="pixel"), records(100).reshape(100, 2, 3))
    assert image.min() == 0
    assert image.max() == 1
    (table,) = seen_by(ImageNoise(r=0.9, draw="pixel"), records(100))
    assert table.min() < 0 < 1 < table.max()


def test_averaged_answers_are_means_over_different_draws() -> None:
    models, x = linear(1), records(30)
    noisy = seen_by(ImageNoise(r=0.3, draw="pixel", average=4), x)
    assert len({part.tobytes() for part in noisy}) == 4
    answers = served(models, ImageNoise(r=0.3, draw="pixel", average=4)).predict(x)
    np.testing.assert_allclose(answers, np.mean([models.predict(part) for part in noisy], axis=0), atol=1e-12)


def test_hamp_keeps_order_with_ties_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    z = np.round(rng.normal(size=(300, 8)) * 2)
    scores = np.round(rng.normal(size=(300, 8)))
    out = in_order_of(z, scores)
    np.testing.assert_array_equal(out.argmax(-1), z.argmax(-1))
    np.testing.assert_allclose(np.sort(out), np.sort(scores), atol=1e-5)
    for values, first in zip(out, z, strict=True):
        assert all(values[a] >= values[b] for a in range(8) for b in range(8) if first[a] > first[b])
    assert ((out == out.max(-1, keepdims=True)).sum(-1) == 1).all()
    np.testing.assert_array_equal(in_order_of(np.exp(z / 5) - 3, scores), out)


def test_hamps_scores_are_those_of_one_random_input() -> None:
    x = np.random.default_rng(0).integers(0, 2, (40, 6)).astype(np.float32)
    asked = seen_by(Hamp(), x)
    assert len(asked) == 2
    np.testing.assert_array_equal(asked[0], x)
    assert set(np.unique(asked[1])) == {0, 1}
    models = linear(1)
    out = served(models, Hamp(), members=x).predict(x)[0]
    np.testing.assert_allclose(np.sort(out), np.sort(models.predict(asked[1])[0]), atol=1e-5)


def test_random_inputs_fill_the_range_of_the_features() -> None:
    x = np.stack([np.linspace(-3, 5, 200), np.tile([2.0, 7.0], 100), np.full(200, 4.0)], 1).astype(np.float32)
    features = Features.of(x)
    assert features.binary.tolist() == [False, True, True]
    made = random_inputs(features, FromGenerator(np.random.default_rng(0), 5_000), (5_000, 3))
    assert made[:, 0].min() == pytest.approx(-3)
    assert made[:, 0].max() == pytest.approx(5)
    assert made[:, 0].mean() == pytest.approx(1, abs=0.15)
    assert set(np.unique(made[:, 1])) == {2, 7}
    assert (made[:, 2] == 4).all()
    images = Features.of(records(9).reshape(9, 2, 3))
    assert (images.low.max(), images.high.min(), images.binary.any()) == (0, 1, False)  # type: ignore[comparison-overlap]


def test_ldl_answers_the_label_of_most_copies() -> None:
    x = records(30)
    copies = seen_by(Ldl(sigma=0.5, copies=21), x)
    models = linear(1)
    votes = np.stack([models.predict(part)[0].argmax(-1) for part in copies])
    expected = [np.bincount(column).argmax() for column in votes.T]
    np.testing.assert_array_equal(served(models, Ldl(sigma=0.5, copies=21), members=x).predict(x)[0], expected)
    mean = np.mean([models.predict(part)[0] for part in copies], axis=0)
    released = served(models, Ldl(sigma=0.5, copies=21, released=True), members=x).predict(x)[0]
    np.testing.assert_array_equal(released, mean.argmax(-1))


def test_ldl_flips_features_of_two_values_with_probability_sigma() -> None:
    x = np.random.default_rng(0).integers(0, 2, (300, 40)).astype(np.float32)
    copies = np.stack(seen_by(Ldl(sigma=0.04, copies=10), x))
    assert set(np.unique(copies)) == {0, 1}
    assert (copies != x).mean() == pytest.approx(0.04, abs=0.004)


def test_ldl_takes_labels_where_nothing_else_is_answered() -> None:
    models = FunctionModels([lambda x: (x[:, 0] > 0.5).astype(int)], "labels")
    x = np.array([[0.1, 0.0], [0.9, 0.3], [0.2, 0.7]], np.float32)
    assert served(models, Ldl(sigma=0.01, copies=5), members=x).predict(x).tolist() == [[0, 1, 0]]


def test_label_only_is_the_largest_class() -> None:
    from memberwise.defences.output.label_only import LabelOnly

    models, x = given(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]]))
    behind = served(models, LabelOnly())
    assert behind.kind == "labels"
    assert behind.predict(x).tolist() == [[1, 0]]
