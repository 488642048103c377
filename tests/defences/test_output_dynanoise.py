"""DynaNoise: R = 1 - H / log C, variance (1 + slope R) times the base, by closed forms; the surer, the noisier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from output_models import given, served
from scipy.special import softmax

from memberwise.defences.output.registry import OUTPUT_DEFENCES

COPIES = 40_000


def spread(logits: Any, **parameters: Any) -> Any:
    """Standard deviation of what is added to each logit, before the temperature, over many records alike."""
    models, x = given(np.repeat(np.asarray([logits], float), COPIES, axis=0))
    defence = OUTPUT_DEFENCES["dynanoise"](**parameters)
    added = served(models, defence).predict(x)[0] * defence.t - np.asarray(logits)  # type: ignore[attr-defined]
    np.testing.assert_allclose(added.mean(0), 0, atol=5 * added.std() / np.sqrt(COPIES))
    return added.std()


@pytest.mark.parametrize(
    ("logits", "sureness"),
    [
        ([0.0, 0.0, 0.0], 0.0),  # entropy log 3
        ([2.0, 2.0, 2.0, 2.0, 2.0], 0.0),
        ([0.0, 900.0, 0.0], 1.0),  # entropy 0
        ([np.log(0.9), np.log(0.1)], 1 - 0.3250829733914482 / np.log(2)),
        ([50.0, 50.0, -900.0, -900.0], 0.5),  # entropy log 2 of log 4
    ],
)
@pytest.mark.parametrize("parameters", [{}, {"variance": 2.0, "slope": 5.0, "t": 3.0}, {"slope": 0.0}])
def test_the_variance_is_the_closed_form(logits: Any, sureness: Any, parameters: Any) -> None:
    own = {"variance": 0.3, "slope": 2.0} | parameters
    expected = np.sqrt(own["variance"] * (1 + own["slope"] * sureness))
    assert spread(logits, **parameters) == pytest.approx(expected, rel=4 / np.sqrt(2 * COPIES))


def test_surer_answer_gets_more_noise_by_authors_defaults() -> None:
    made = OUTPUT_DEFENCES["dynanoise"]()
    assert (made.variance, made.slope, made.t) == (0.3, 2.0, 10.0)  # type: ignore[attr-defined]
    assert spread([0.0, 9.0, 0.0]) > 1.5 * spread([0.0, 0.5, 0.0])


def test_the_temperature_comes_after_the_noise() -> None:
    """Logits over t, so that answers are flat: noise on them is divided too, and probabilities are of z / t."""
    logits = np.random.default_rng(0).normal(size=(200, 4)) * 5
    models, x = given(logits)
    quiet = served(models, OUTPUT_DEFENCES["dynanoise"](variance=0)).predict(x)[0]  # type: ignore[call-arg]
    np.testing.assert_allclose(softmax(quiet, -1), softmax(logits / 10, -1))
    hot, cold = (served(models, OUTPUT_DEFENCES["dynanoise"](t=t)).predict(x)[0] for t in (10, 1))  # type: ignore[call-arg]
    np.testing.assert_allclose(hot * 10, cold)
