"""Noise as a function of the record: asking again tells nothing, and the numbers are good random numbers."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import numpy as np
import pytest
from output_models import linear, records, served
from scipy import stats

from memberwise.defences.output.keyed import digests, quantised, uniforms
from memberwise.defences.output.registry import OUTPUT_DEFENCES

NOISY = [("confidence-noise", {"r": 2.0}), ("gaussian-noise", {"on": "logits", "scale": 1.0}), ("dynanoise", {"t": 1})]


@pytest.mark.parametrize(("name", "parameters"), NOISY)
def test_averaging_questions_wins_against_fresh_noise_only(name: Any, parameters: Any) -> None:
    models, x = linear(1), records(40)
    truth, again = models.predict(x), np.repeat(x, 1_000, axis=0)
    error = {}
    for keyed in (True, False):
        behind = served(models, OUTPUT_DEFENCES[name](keyed=keyed, **parameters))  # type: ignore[call-arg]
        once, mean = behind.predict(x) - truth, behind.predict(again).reshape(1, 40, 1_000, -1).mean(2) - truth
        error[keyed] = np.sqrt((once**2).mean()), np.sqrt((mean**2).mean())
    assert error[True][1] == pytest.approx(error[True][0])
    # 400 errors each: their root mean square is known to about 4 %.
    assert error[False][0] / error[False][1] == pytest.approx(np.sqrt(1_000), rel=0.2)


def test_averaging_wins_against_fresh_noise_on_the_image_only() -> None:
    x = np.full((1, 4, 4), 0.5, np.float32)
    models = linear(1, features=16)
    truth, again = models.predict(x), np.repeat(x, 1_000, axis=0)
    for keyed in (True, False):
        behind = served(models, OUTPUT_DEFENCES["image-noise"](r=0.4, draw="pixel", keyed=keyed))  # type: ignore[call-arg]
        once, mean = (np.linalg.norm(a.mean(1) - truth[:, 0]) for a in (behind.predict(x), behind.predict(again)))
        assert mean == pytest.approx(once) if keyed else mean < once / 5


def test_copies_within_half_a_grey_value_get_same_noise() -> None:
    rng = np.random.default_rng(0)
    x = (rng.integers(0, 256, (200, 28, 28)) / 255).astype(np.float32)
    near = x + rng.uniform(-0.0019, 0.0019, x.shape).astype(np.float32)
    np.testing.assert_array_equal(quantised(near, 8 / 255), quantised(x, 8 / 255))
    moved = (x + 0.05).astype(np.float32)
    assert (quantised(moved, 8 / 255) != quantised(x, 8 / 255)).any(1).all()


def test_values_of_any_size_can_be_read() -> None:
    x = np.array([[-np.float32(3e38), 3e38, 1e5, -0.0]], np.float32)
    np.testing.assert_array_equal(quantised(x, 8 / 255)[:, 3], quantised(np.float32([[0]]), 8 / 255)[:, 0])  # type: ignore[arg-type]


def test_digests_are_keyed_blake2b_by_record_and_purpose() -> None:
    cells = np.arange(12, dtype=np.int16).reshape(3, 4)
    expected = [
        hashlib.blake2b(row.astype("<i2").tobytes(), digest_size=16, key=b"k", person=b"Noise").digest()
        for row in cells
    ]
    found = [row.astype("<u8").tobytes() for row in digests(cells, b"k", "Noise")]
    assert all(hmac.compare_digest(a, b) for a, b in zip(found, expected, strict=True))
    assert (digests(cells, b"k", "Other") != digests(cells, b"k", "Noise")).all()


@pytest.mark.parametrize(("name", "parameters"), NOISY[:2])
def test_two_of_a_kind_in_one_chain_have_numbers_of_their_own(name: Any, parameters: Any) -> None:
    models, x = linear(1), records(500)
    truth, defence = models.predict(x), OUTPUT_DEFENCES[name](**parameters)
    parts = [served(models, *[defence] * count).predict(x) - truth for count in (1, 2, 3)]
    draws = [parts[0], parts[1] - parts[0], parts[2] - parts[1]]
    found = np.corrcoef([one.ravel() for one in draws])[np.triu_indices(3, 1)]
    assert np.abs(found).max() < 0.06
    assert all(one.std() == pytest.approx(draws[0].std(), rel=0.05) for one in draws)


def test_another_kind_before_it_leaves_a_noise_its_numbers() -> None:
    models, x = linear(1), records(50)
    noise = OUTPUT_DEFENCES["confidence-noise"](r=1.0)  # type: ignore[call-arg]
    alone = served(models, noise).predict(x) - models.predict(x)
    after = served(models, OUTPUT_DEFENCES["temperature"](t=1.0), noise).predict(x) - models.predict(x)  # type: ignore[call-arg]
    spread = after - alone  # of each answer: a temperature's logits are right up to a constant
    np.testing.assert_allclose(spread, np.broadcast_to(spread[..., :1], spread.shape), atol=1e-5)


def test_names_that_begin_alike_are_kept_apart() -> None:
    kinds = [type(f"ANoiseOfALongName{end}", (OUTPUT_DEFENCES["confidence-noise"],), {}) for end in "AB"]
    models, x = linear(1), records(500)
    first, both = (served(models, *[kind(r=1.0) for kind in kinds[:n]]).predict(x) for n in (1, 2))
    found = np.corrcoef((first - models.predict(x)).ravel(), (both - first).ravel())[0, 1]
    assert abs(found) < 0.06


def test_each_model_has_a_secret_of_its_own() -> None:
    models, x = linear(2), records(500)
    defence = OUTPUT_DEFENCES["confidence-noise"](r=1.0)  # type: ignore[call-arg]
    noise = served(models, defence).predict(x) - models.predict(x)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.06
    other = served(models, defence, key=b"another secret").predict(x) - models.predict(x)
    assert abs(np.corrcoef(noise[0].ravel(), other[0].ravel())[0, 1]) < 0.06


def test_numbers_are_uniform_and_independent() -> None:
    """Kolmogorov-Smirnov, chi-square of the bits, and correlations; each fails by chance once in 1,000."""
    cells = np.arange(20_000, dtype=np.int16)[:, None]
    u = uniforms(digests(cells, b"k", "Noise"), 8)
    assert 0 < u.min() < u.max() < 1
    assert all(stats.kstest(column, "uniform").pvalue > 1e-3 / 8 for column in u.T)
    correlations = np.corrcoef(u.T)[np.triu_indices(8, 1)]  # type: ignore[index]
    assert np.abs(correlations).max() < 4.2 / np.sqrt(len(u))
    assert abs(np.corrcoef(u[1:, 0], u[:-1, 0])[0, 1]) < 3.3 / np.sqrt(len(u))
    bits = (u[:, :1] * 2.0**52).astype(np.uint64) >> np.arange(52, dtype=np.uint64) & np.uint64(1)
    assert np.abs(bits.mean(0) - 0.5).max() < 4.5 * 0.5 / np.sqrt(len(u))
    np.testing.assert_array_equal(uniforms(digests(cells[:9], b"k", "Noise"), 3, first=5), u[:9, 5:])


def test_a_model_asked_alone_draws_from_the_same_fresh_numbers() -> None:

    models, x = linear(2), records(5)
    behind = served(models, OUTPUT_DEFENCES["confidence-noise"](keyed=False))  # type: ignore[call-arg]
    assert not np.array_equal(behind.predict(x), behind.predict(x))
    assert not np.array_equal(behind.one(1).predict(x), behind.predict(x)[1:])
