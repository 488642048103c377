"""Whether scores are probabilities stands in the result, with a warning that says why they are none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_assess_mismatch import assessed, table

USE = ["learned", "loss"]


def told(signals: Any, member: Any) -> tuple[dict[str, bool | None], str]:
    """What the result says of each attack, and the warning."""
    found = assessed(signals, member, use=USE)
    words = [note.message for note in found.notes if note.code == "uncalibrated"]
    return {attack.name: attack.calibrated for attack in found.attacks}, "".join(words)


@pytest.mark.slow
def test_like_shadow_models_scores_are_called_probabilities() -> None:
    assert told(*table(np.random.default_rng(0), models=8)) == ({"learned": True, "loss": None}, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "words"),
    [("no population", "there are 0. --population"), ("leaks nothing", "contradict"), ("other kind", "same data")],
)
def test_scores_that_are_none_are_marked_with_the_reason(case: str, words: str) -> None:
    rng = np.random.default_rng(1)
    signals, member = table(rng, models=8, gap=3.0, population=0 if case == "no population" else 500)
    if case == "leaks nothing":
        quiet, _ = table(np.random.default_rng(2), models=8, gap=0.0)
        signals = replace(signals, target=quiet.target, population_target=quiet.population_target)
    if case == "other kind":
        easy, _ = table(np.random.default_rng(3), models=8, stretch=1.0, shift=0.0)
        shadows = replace(easy.population_shadows, log_1mp=easy.population_shadows.log_1mp - 3)
        signals = replace(signals, population_shadows=shadows)
    calibrated, message = told(signals, member)
    assert calibrated == {"learned": False, "loss": None}
    assert message.startswith("scores of learned order records, but are no probabilities here: ")
    assert words in message
