"""Saved answers become the table of signals."""

from __future__ import annotations

import numpy as np

from memberwise.signals.read import read_answers
from memberwise.signals.saved.answers import SavedAnswers
from memberwise.signals.table import Answers, Signals


def signals_from_saved(target: SavedAnswers, shadows: SavedAnswers | None) -> Signals:
    """The table of signals of saved answers (the truth about the target's members is left out)."""
    if target.raw is None or target.labels is None:
        raise ValueError("the target's file holds answers and labels")
    labels = target.labels
    index = np.arange(len(labels)) if target.index is None else target.index
    nobody = np.zeros((0, len(labels)), np.int8)
    population_labels = target.population_labels if target.population is not None else None
    return Signals(
        index=index,
        labels=labels,
        target=read_answers(target.raw, labels, target.kind, precision=target.raw.dtype),
        shadows=None if shadows is None else _shadow_answers(shadows, labels),
        trained_on=nobody if shadows is None or shadows.trained_on is None else shadows.trained_on,
        population_target=_population(target, population_labels),
        population_shadows=None if shadows is None else _population(shadows, population_labels),
        population_labels=population_labels,
        population_trained_on=None if shadows is None else shadows.population_trained_on,
    )


def _shadow_answers(shadows: SavedAnswers, labels: np.ndarray) -> Answers:
    if shadows.raw is not None:
        return read_answers(shadows.raw, labels, shadows.kind, precision=shadows.raw.dtype)
    if shadows.log_p is None or shadows.log_1mp is None:
        raise ValueError("the shadow file holds answers or their logs")
    # Above one half no other class can be larger; below, the logs do not tell (nor does any attack ask).
    sure = shadows.log_p > np.log(0.5)
    return Answers(shadows.log_p.astype(np.float32), shadows.log_1mp.astype(np.float32), sure, kind=shadows.kind)


def _population(saved: SavedAnswers, labels: np.ndarray | None) -> Answers | None:
    if saved.population is None or labels is None:
        return None
    return read_answers(saved.population, labels, saved.kind, keep_vectors=0)
