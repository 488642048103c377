"""The surest tenth of random inputs."""

from __future__ import annotations

import numpy as np
from collector_models import LabelsOf, Linear, asked_about, gather_extras
from scipy.special import expit

from memberwise.signals.collectors.random_inputs import RandomInputs


def test_the_90th_percentile_of_the_largest_probability() -> None:
    """One feature, uniform on [0, 1]: the largest probability is expit(2 w (u - 1/2)) or its complement."""
    x = np.array([[0.0], [1.0], [0.4]], np.float32)
    model = Linear(np.array([2.0], np.float32), np.float32(-1.0))
    arrays = gather_extras(model, asked_about(x, np.zeros(3, int), RandomInputs(20_000)))
    # |u - 1/2| is uniform on [0, 1/2], its 90th percentile 0.45.
    np.testing.assert_allclose(arrays["audited.extra.random"], expit(2 * 2.0 * 0.45), atol=2e-3)
    np.testing.assert_array_equal(arrays["audited.extra.random.queries"], np.ones((1, 3)))


def test_binary_columns_take_their_two_values() -> None:
    x = np.array([[0, 5], [1, 7], [1, 6]], np.float32)
    seen = []
    model = Linear(np.ones(2, np.float32), np.float32(0))
    ask = model.predict
    model.predict = lambda z: seen.append(z) or ask(z)  # type: ignore[assignment, func-returns-value, method-assign]
    gather_extras(model, asked_about(x, np.zeros(3, int), RandomInputs(500)))
    np.testing.assert_array_equal(np.unique(seen[0][:, 0]), [0, 1])
    assert len(np.unique(seen[0][:, 1])) > 400
    assert seen[0][:, 1].min() >= 5
    assert seen[0][:, 1].max() <= 7


def test_labels_alone_tell_no_probability() -> None:
    model = Linear(np.ones(2, np.float32), np.float32(0))
    arrays = gather_extras(LabelsOf(model), asked_about(np.eye(2, dtype=np.float32), np.zeros(2, int), RandomInputs()))
    assert list(arrays) == ["extra.random"]
