"""Signals of models that answer several binary labels a record, a sigmoid each."""

from __future__ import annotations

import numpy as np

from memberwise.signals.table import Answers
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Floats

# Probabilities of one label are kept away from 0 and 1 by this before a logarithm.
SMALLEST = 1e-12


def read_label_sets(raw: Array, labels: Array, kind: Kind, margins: bool = False) -> Answers:
    """Answers about several labels as one: the labels' logarithms are summed, as of independent labels.

    log_p = sum_l log p_l and log_1mp = sum_l log(1 - p_l), p_l the probability of what label l is; their difference,
    phi, is the sum over labels of the scaled logit (Carlini et al. 2022, section IV.C, label by label). The model's
    probability of the whole set of labels is exp(log_p).

    Args:
        raw: ``(m, n, q, L)`` logits, or probabilities of each label ("probabilities", "scores").
        labels: ``(n, L)`` 0/1.
        margins: keep the label-wise scaled logits.

    Returns:
        Answers without full vectors. ``correct``: all labels right. ``extra["labels right"]``: ``(m, n)`` share of
        labels right; ``extra["margins"]``: ``(m, n, L)`` scaled logits towards 1, where they are kept.
    """
    sign = 2.0 * labels.astype(np.float64) - 1.0
    z = np.empty(raw.shape, np.float64)
    for model, values in enumerate(raw):
        z[model] = _logits(np.asarray(values, np.float64), kind)
    towards = z * sign[None, :, None, :]
    right = (z > 0) == (labels > 0)[None, :, None, :]
    extra = {"labels right": right[:, :, 0].mean(-1, dtype=np.float64).astype(np.float32)}
    if margins:
        extra["margins"] = z[:, :, 0].astype(np.float32)
    return Answers(
        (-np.logaddexp(0.0, -towards)).sum(-1).astype(np.float32),
        (-np.logaddexp(0.0, towards)).sum(-1).astype(np.float32),
        right.all(-1),
        kind="logits",
        extra=extra,
    )


def _logits(values: Array, kind: Kind) -> Floats:
    if kind == "logits":
        return values
    p = np.clip(values, SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(p) - np.log1p(-p))


def mean_auroc(margins: Array, labels: Array, use: Array) -> Floats:
    """``(m,)`` mean over labels of the area under the ROC curve of label 1 against label 0; NaN where no label varies.

    Args:
        margins: ``(m, n, L)`` scaled logits. labels: ``(n, L)`` 0/1. use: ``(m, n)`` records that count.
    """
    from scipy.stats import rankdata

    areas = np.full((len(margins), labels.shape[1]), np.nan)
    for model, rows in enumerate(use):
        z, y = margins[model, rows], labels[rows] > 0
        ones = y.sum(0)
        varies = (ones > 0) & (ones < len(y))
        if varies.any():
            ranks = rankdata(z[:, varies], axis=0)
            n1 = ones[varies]
            areas[model, varies] = ((ranks * y[:, varies]).sum(0) - n1 * (n1 + 1) / 2) / (n1 * (len(y) - n1))
    counted = ~np.isnan(areas)
    total = np.where(counted, areas, 0.0).sum(1)
    return np.where(counted.any(1), total / np.maximum(counted.sum(1), 1), np.nan)
