"""Logit clipping and the bound on what any answer can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from output_models import given, linear, records, served, study
from scipy.special import softmax

from memberwise.defences.output.bound import largest_probability
from memberwise.defences.output.logit_clipping import LogitClipping
from memberwise.defences.output.registry import OUTPUT_DEFENCES, output_defences

# e^r / (e^r + (C - 1) e^-r), worked out apart.
KNOWN = [(10, 0.5, 0.232), (10, 1, 0.451), (10, 2, 0.858), (10, 3, 0.978), (100, 1, 0.069), (100, 2, 0.355),
         (100, 5, 0.9955), (30, 1, 0.203), (30, 3, 0.933), (2, 1, 0.881), (2, 2, 0.982)]  # fmt: skip


def many_logits(classes: Any, seed: int = 0) -> Any:
    """10,000 rows; a third with many equal scores, some with none within reach of r or all the same."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(10_000, classes)) * rng.choice([0.1, 1, 10, 100], size=(10_000, 1))
    z[:3_000] = np.round(z[:3_000])
    z[3_000:3_500] = np.abs(z[3_000:3_500]) + 20
    z[3_500:4_000] = -np.abs(z[3_500:4_000]) - 20
    z[4_000:4_100] = rng.choice([-50.0, 0.0, 1.0, 50.0], size=(100, 1))
    return z


@pytest.mark.parametrize("mode", ["clip", "rescale"])
@pytest.mark.parametrize("r", [0.01, 0.5, 1, 3])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_logits_stay_within_r_and_the_label_stays(mode: str, r: float, classes: int) -> None:
    z = many_logits(classes)
    models, x = given(z)
    out = served(models, LogitClipping(r=r, mode=mode)).predict(x)[0]
    assert np.abs(out).max() <= r
    np.testing.assert_array_equal(out.argmax(-1), z.argmax(-1))
    p = softmax(out, -1).max(-1)
    assert p.max() <= largest_probability([LogitClipping(r=r)], classes) * (1 + 1e-12)
    if mode == "clip":
        np.testing.assert_allclose(out, np.clip(z, -r, r), atol=1.1e-6 * r)
        inside = np.abs(z).max(-1) < r * (1 - 2e-6)
        np.testing.assert_array_equal(out[inside], z[inside])
    else:
        beyond = np.abs(z).max(-1) > r
        ratio = (out[beyond] * np.abs(z[beyond]).max(-1, keepdims=True)) - r * z[beyond]
        np.testing.assert_allclose(ratio, 0, atol=1e-5 * r * 100)


def test_the_label_survives_storage_in_single_precision() -> None:
    z = many_logits(10)
    models, x = given(z)
    stored = served(models, LogitClipping(r=1)).predict(x)[0].astype(np.float32)
    np.testing.assert_array_equal(stored[4_100:].argmax(-1), z[4_100:].argmax(-1))


@pytest.mark.parametrize(("classes", "r", "expected"), KNOWN)
def test_the_bound_is_the_known_one_and_is_reached(classes: Any, r: Any, expected: Any) -> None:
    bound = largest_probability([LogitClipping(r=r)], classes)
    assert bound == pytest.approx(expected, abs=6e-4)
    z = np.full((1, classes), -9.0)
    z[0, 0] = 9
    models, x = given(z)
    assert softmax(served(models, LogitClipping(r=r)).predict(x)[0, 0]).max() == pytest.approx(bound)


CHAINS = [
    [study("image-noise", r=0.5), study("logit-clipping", r=1), study("confidence-noise", r=15, draw="shared")],
    [study("image-noise", r=0.5, average=3), study("logit-clipping", r=1), study("confidence-noise", r=0.5)],
    [study("logit-clipping", r=2), study("image-noise"), study("temperature", t=2), study("rounding", digits=1)],
    [study("logit-clipping", r=1, mode="rescale"), study("confidence-noise", r=0.3, keep_label=True), study("top-k")],
    [study("confidence-noise", r=9), study("logit-clipping", r=0.5), study("hamp")],
]


@pytest.mark.parametrize("chain", CHAINS)
def test_chains_keep_their_bound(chain: Any) -> None:
    defences = output_defences(chain)
    behind = served(linear(2, scale=50), *defences)
    answers = behind.predict(records(400))
    p = softmax(answers, -1) if behind.kind == "logits" else answers
    bound = largest_probability(defences, 10)
    assert bound < 0.99
    assert p.max() <= bound + 1e-9
    assert p.max() > 0.3 * bound


@pytest.mark.parametrize("name", ["memguard", "gaussian-noise", "dynanoise", "reverse-sigmoid", "label-only"])
def test_nothing_is_promised_where_nothing_bounds(name: str) -> None:
    chain = [LogitClipping(r=1), OUTPUT_DEFENCES[name]()]
    assert largest_probability(chain, 10) == 1
    assert largest_probability([], 10) == 1


def test_kaplans_combination_is_applied_in_its_order() -> None:
    """A pixel's noise, then the model, then clipping, then a shared offset, by hand."""
    from memberwise.defences.output.keyed import digests, quantised, uniforms

    models = linear(1)
    x = records(20).reshape(20, 1, 6)
    behind = served(models, *output_defences(CHAINS[0]))
    image, offset = (
        2 * uniforms(digests(quantised(x, 8 / 255), behind.keys[0], name), 1) - 1 for name in ("noise 0", "noise 1")
    )
    noisy = np.clip(x + np.float32(0.5) * image[:, :, None].astype(np.float32), 0, 1)
    expected = np.clip(models.predict(noisy)[0], -1, 1) + 15 * offset
    np.testing.assert_allclose(behind.predict(x)[0], expected, atol=1e-5)


def test_a_shared_offset_leaves_probabilities_as_they_are() -> None:
    models, x = linear(2), records()
    offset = served(models, OUTPUT_DEFENCES["confidence-noise"](r=15, draw="shared")).predict(x)  # type: ignore[call-arg]
    assert np.abs(offset - models.predict(x)).max() > 10
    np.testing.assert_allclose(softmax(offset, -1), softmax(models.predict(x), -1), atol=1e-12)
