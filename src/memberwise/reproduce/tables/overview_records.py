"""Single records of an audit: their scores in the shadow models that saw them and in those that did not."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from memberwise.reproduce.claim import Plot, Series
from memberwise.types.arrays import Floats, Mask

# The overview's cat photo: confidence in models that were trained on it, and in others.
EXAMPLE = (0.95, 0.70)
BINS = 14


def mean_confidences(phi: Floats, trained_on: Mask) -> tuple[Floats, Floats]:
    """``(n,)`` mean confidence in the true class over the models that saw a record, and over those that did not."""
    confidence = expit(phi)
    return _mean(confidence, trained_on), _mean(confidence, ~trained_on)


def separation(phi: Floats, trained_on: Mask) -> Floats:
    """``(n,)`` distance of the mean scaled logits with and without a record, in units of their pooled deviation."""
    inside, outside = _mean(phi, trained_on), _mean(phi, ~trained_on)
    variance = _mean((phi - inside) ** 2, trained_on) + _mean((phi - outside) ** 2, ~trained_on)
    return (inside - outside) / np.sqrt(variance / 2 + 1e-12)


def single_records(phi: Floats, trained_on: Mask) -> dict[str, tuple[str, int]]:
    """Name, setting and position of three records: the nearest to the overview's example by its two confidences, the
    most separated one, and the one in the middle.

    Args:
        phi: ``(m, n)`` scaled logits. trained_on: ``(m, n)``.
    """
    pairs, apart = np.stack(mean_confidences(phi, trained_on)), separation(phi, trained_on)
    away = np.hypot(*(pairs - np.array(EXAMPLE)[:, None]))
    return {
        "example": ("one record", int(away.argmin())),
        "separated": ("most separated record", int(apart.argmax())),
        "typical": ("typical record", int(np.argsort(apart)[len(apart) // 2])),
    }


def _mean(values: Floats, use: Mask) -> Floats:
    return np.asarray((values * use).sum(0) / use.sum(0))


def densities(name: str, title: str, inside: Floats, outside: Floats) -> Plot:
    """Histograms of a record's scaled logits in the models that saw it and in those that did not.

    Args:
        inside, outside: ``(m,)`` each.
    """
    both = np.concatenate([inside, outside])
    edges = np.linspace(both.min(), both.max(), BINS + 1)
    series = [
        Series(label, tuple(edges.tolist()), tuple(np.histogram(side, edges, density=True)[0].tolist()))
        for label, side in (("models that saw it", inside), ("models that did not", outside))
    ]
    return Plot(name, title, "scaled logit of the true class", "density over models", tuple(series), kind="steps")
