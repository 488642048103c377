"""White-box: a model has little left to learn from the records it was trained on."""

from __future__ import annotations

import numpy as np

from memberwise.attacks.base import Attack, Needs, Score
from memberwise.signals.table import Signals
from memberwise.types.arrays import Floats


def norm(column: int) -> Score:
    """Minus the norm of the loss's gradient by the model's parameters (Nasr et al. 2019, "Comprehensive privacy
    analysis of deep learning", section III: members' gradients are smaller).

    HIGHER = MORE LIKELY A MEMBER. Needs the weights, and no shadow models; usually little above the loss attack.

    Args:
        column: 0 for all parameters, 1 for those of the last layer.
    """

    def score(signals: Signals, rng: np.random.Generator) -> Floats:
        return -np.asarray(signals.target.extra["gradient"][0, :, column], np.float64)

    return score


ATTACKS = [
    Attack(
        name=name,
        score=norm(column),
        needs=Needs(extra="gradient"),
        source="Nasr et al. 2019",
        summary=f"Minus the norm of the loss's gradient by {which}.",
        default=False,
    )
    for name, column, which in (
        ("gradient-norm", 0, "all parameters"),
        ("gradient-norm-last", 1, "the last layer's parameters"),
    )
]
