"""What attack models learn from: answers of shadow models about records they saw and records they did not see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from memberwise.attacks.in_out import has_both_sides, shadows_of
from memberwise.signals.table import Answers, Signals


def lessons(signals: Signals) -> tuple[Answers, NDArray[np.int64], NDArray[np.int8]]:
    """Answers ``(m, r, q)``, labels ``(r,)`` and ``trained_on`` ``(m, r)`` to learn from.

    The audited records, where shadow models trained on some of them; else the auxiliary records they trained on.
    """
    if signals.beside is not None and not has_both_sides(signals):
        return signals.beside.answers, signals.beside.labels, signals.beside.trained_on
    return shadows_of(signals.shadows), signals.labels, signals.trained_on
