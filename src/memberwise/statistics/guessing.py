"""What a model that tells nothing gives, and from where on a figure is a clear leak."""

from __future__ import annotations

# The figure of an attack that guesses; of a true-positive rate it is the false-positive rate.
GUESSING = {"auc": 0.5, "balanced_accuracy": 0.5, "advantage": 0.0}
CLEAR_AUC = 0.6
# A clear leak at a false-positive rate is so many times the rate, or so much above it, whichever comes first.
CLEAR_MULTIPLE, CLEAR_EXCESS = 5.0, 0.1


def guessing_level(metric: str, fpr: float | None = None) -> float | None:
    """What guessing gives; None for metrics of which it gives anything (recall) or which have none (epsilon)."""
    return fpr if metric == "tpr" else GUESSING.get(metric)


def clear_rate(fpr: float) -> float:
    """The true-positive rate at ``fpr`` from which on a leak is worth speaking of."""
    return min(CLEAR_MULTIPLE * fpr, fpr + CLEAR_EXCESS)
