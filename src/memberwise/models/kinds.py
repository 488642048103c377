"""What one answer of a model is: logits, probabilities, scores or a label."""

from __future__ import annotations

from typing import Literal

import numpy as np

from memberwise.types.arrays import Array

# "scores" are defended answers that need not sum to 1; "labels" are answered class numbers alone.
Kind = Literal["logits", "probabilities", "scores", "labels"]


def kind_of_answers(values: Array) -> Kind:
    """ "probabilities" where every row is non-negative and sums to 1, but for rounding, else "logits".

    Half of the rows must do so to 0.001, and all to 0.1: single precision loses that much in a naive Bayes model.

    Args:
        values: ``(n, C)`` or ``(m, n, C)`` answers.
    """
    off = np.abs(values.sum(-1) - 1)
    if values.min() >= -1e-6 and np.median(off) <= 1e-3 and off.max() <= 0.1:
        return "probabilities"
    return "logits"


def kind_of_label_answers(values: Array) -> Kind:
    """ "scores" where answers about several labels are probabilities of each, all in [0, 1], else "logits".

    Args:
        values: ``(n, L)`` or ``(m, n, L)`` answers.
    """
    return "scores" if values.min(initial=0.0) >= 0 and values.max(initial=0.0) <= 1 else "logits"


def kind_by_range(answers: Array) -> Kind:
    """The kind of ``(n, C)`` answers of one model.

    "probabilities" where every row is non-negative and sums to 1, "scores" where all lie in [0, 1] and some above one
    half (a sigmoid a class), else "logits".
    """
    if kind_of_answers(answers) == "probabilities":
        return "probabilities"
    return "scores" if answers.min() >= 0 and 0.5 < answers.max() <= 1 else "logits"
