"""Phi at a temperature, exact and between kept ones, and the temperature at which two models spread alike."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from memberwise.signals.temperature import interpolated_phi, matched_temperature, phi_at_temperature
from memberwise.types.arrays import Floats, Ints


def some_logits(n: int = 400, classes: int = 10, scale: float = 4.0, seed: int = 0) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) * scale
    logits[np.arange(n), labels] += scale * 1.5
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_phi_at_a_temperature_is_that_of_softmax(temperature: float) -> None:
    logits, labels = some_logits()
    p = softmax(logits / temperature, axis=-1)
    rest = p.copy()
    rest[np.arange(len(labels)), labels] = 0.0
    direct = np.log(p[np.arange(len(labels)), labels]) - np.log(rest.sum(-1))
    np.testing.assert_allclose(phi_at_temperature(logits, labels, temperature), direct, rtol=1e-9, atol=1e-9)
    of_log_p = phi_at_temperature(log_softmax(logits, axis=-1), labels, temperature)
    np.testing.assert_allclose(of_log_p, direct, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("temperature", "within"), [(1.1, 0.05), (1.8, 0.02), (2.2, 0.02), (3.3, 0.02), (6.0, 0.04)])
def test_phi_between_kept_temperatures_is_near(temperature: float, within: float) -> None:
    logits, labels = some_logits()
    kept = {t: phi_at_temperature(logits, labels, t) for t in (1.0, 2.0, 2.8)}
    exact = phi_at_temperature(logits, labels, temperature)
    assert np.abs(interpolated_phi(kept, 10, temperature) - exact).mean() < within * exact.std()


def test_phi_of_two_classes_is_exact_at_any_temperature() -> None:
    logits, labels = some_logits(classes=2)
    kept = {1.0: phi_at_temperature(logits, labels, 1.0)}
    for temperature in (0.3, 1.0, 5.0):
        exact = phi_at_temperature(logits, labels, temperature)
        np.testing.assert_allclose(interpolated_phi(kept, 2, temperature), exact, atol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 2.0, 5.0])
def test_matched_temperature_moves_as_the_logits_do(factor: float) -> None:
    logits, labels = some_logits()
    spread = float(phi_at_temperature(some_logits(scale=3.0, seed=1)[0], labels, 1.0).std())
    plain = matched_temperature(lambda t: phi_at_temperature(logits, labels, t), spread)
    other = matched_temperature(lambda t: phi_at_temperature(factor * logits, labels, t), spread)
    assert other == pytest.approx(factor * plain, rel=1e-9)
    assert phi_at_temperature(logits, labels, plain).std() == pytest.approx(spread, rel=1e-9)


def test_matched_temperature_out_of_reach_is_the_near_end() -> None:
    logits, labels = some_logits()
    assert matched_temperature(lambda t: phi_at_temperature(logits, labels, t), 1e-9) == 64.0
    assert matched_temperature(lambda t: phi_at_temperature(logits, labels, t), 1e9) == 1 / 64
