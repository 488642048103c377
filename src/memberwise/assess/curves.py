"""What the report draws, as arrays: ROC points with a band, and the most exposed records' distributions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from memberwise.signals.streamed import of_records
from memberwise.signals.table import Signals
from memberwise.statistics import roc, roc_band
from memberwise.types.arrays import Arrays, Floats, Mask

CURVE_POINTS = 400
BAND_POINTS = 120


def roc_curves(scores: Mapping[str, Floats], member: Mask, confidence: float) -> Arrays:
    """ROC points of every attack, thinned where they are dense, and a pointwise band on a logarithmic grid.

    Args:
        scores: ``(n,)`` by attack, NaN where a record is not scored. member: ``(n,)``.
    """
    curves: Arrays = {}
    for name, values in scores.items():
        use = ~np.isnan(values)
        nonmembers = int((use & ~member).sum())
        grid = np.geomspace(max(1.0 / nonmembers, 1e-6), 0.999, BAND_POINTS)
        low, high = roc_band(values[use], member[use], grid, confidence)
        curves |= thinned_roc(name, values, member)
        curves |= {f"{name}.band_fpr": grid, f"{name}.band_low": low, f"{name}.band_high": high}
    return curves


def thinned_roc(name: str, scores: Floats, member: Mask) -> Arrays:
    """ROC points of scores of any shape, NaN left out, thinned where they are dense.

    ``scores``, ``member``: ``(n,)``, or ``(m, n)`` over several models.
    """
    use = ~np.isnan(scores)
    curve = roc(scores[use], member[use])
    keep = _thin(curve.fpr, int((use & ~member).sum()))
    return {f"{name}.fpr": curve.fpr[keep], f"{name}.tpr": curve.tpr[keep]}


def exposed_curves(signals: Signals, worst: NDArray[np.intp]) -> Arrays:
    """Phi of the target and of each shadow model on the records at positions ``worst``.

    ``worst``: ``(w,)`` positions in the table; arrays are ``(w,)`` of the target and ``(m, w)`` of shadow models.
    """
    if not len(worst) or np.isnan(signals.target.log_p).all():
        return {}
    drawn: Arrays = {
        "worst.index": signals.index[worst],
        "worst.phi_target": signals.target.phi[0, worst, 0],
    }
    if signals.shadows is not None and signals.shadows.models:
        log_p, log_1mp = (of_records(side, worst)[:, :, 0] for side in (signals.shadows.log_p, signals.shadows.log_1mp))
        phi = log_p.astype(np.float64) - log_1mp
        drawn |= {"worst.phi": phi.T, "worst.trained_on": signals.trained_on[:, worst].T}
    return drawn


def _thin(fpr: Floats, nonmembers: int) -> NDArray[np.intp]:
    """Positions of at most ``CURVE_POINTS`` points, evenly spread over the logarithm of the false-positive rate."""
    if len(fpr) <= CURVE_POINTS:
        return np.arange(len(fpr))
    grid = np.geomspace(0.5 / nonmembers, 1.0, CURVE_POINTS - 2)
    last = np.searchsorted(fpr, grid, side="right") - 1
    return np.unique(np.concatenate([[0], last, [len(fpr) - 1]]))
