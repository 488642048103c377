"""The gap attack: who is answered correctly is called a member."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def score(signals: Signals, rng: np.random.Generator) -> Floats:
    """1.0 where the target's answer is the true label, else 0.0. HIGHER = MORE LIKELY A MEMBER.

    Its balanced accuracy is (1 + train accuracy - test accuracy) / 2: a floor below which no defence that keeps the
    labels can bring an attacker (Yeom et al. 2018, "Privacy risk in machine learning"). No parameters.

    Returns:
        ``(n,)`` float64.
    """
    return signals.target.correct[0, :, 0].astype(np.float64)


ATTACK = Attack(
    name="gap",
    score=score,
    needs=Needs(answers="labels"),
    source="Yeom et al. 2018",
    summary="Calls a record a member if the model answers its label correctly.",
    threshold=0.5,
    threshold_from="fixed",
)
