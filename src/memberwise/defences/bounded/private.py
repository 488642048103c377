"""What (epsilon, delta)-differential privacy allows an attack."""

from __future__ import annotations

from math import exp

from memberwise.defences.bounded.spending import Bound


def balanced_success_of(epsilon: float, delta: float) -> float:
    """The largest balanced accuracy of any attack on one record: its TPR - FPR is at most
    ``(e^epsilon - 1 + 2 delta) / (e^epsilon + 1)`` (Humphries et al. 2023, arXiv:2010.12112)."""
    small = exp(-epsilon)
    return min(1.0, (1 + (1 - small + 2 * delta * small) / (1 + small)) / 2)


def bound_of_training(epsilon: float, delta: float) -> Bound:
    """The bound of a model that was trained with differential privacy, whatever it is asked."""
    return Bound("ii", success=balanced_success_of(epsilon, delta), epsilon=epsilon, delta=delta)
