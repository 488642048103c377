"""Saved answers become the table of signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from memberwise.errors import StudyError
from memberwise.signals.codec import VECTOR_MODELS
from memberwise.signals.read import read_answers
from memberwise.signals.saved.answers import SavedAnswers
from memberwise.signals.table import Answers, Signals
from memberwise.signals.temperature import EVERYWHERE, MATCHED, temperatures_in_use
from memberwise.types.arrays import Array, Ints


def signals_from_saved(
    target: SavedAnswers,
    shadows: SavedAnswers | None,
    label: str | None = None,
    temperature: float | Literal["tuned"] = MATCHED,
) -> Signals:
    """The table of signals of saved answers (the truth about the target's members is left out).

    Args:
        label: of several labels a record, the one that signals are about; None: all.
        temperature: of the study; p_y is kept at those in use, where the answers tell it.

    Raises:
        StudyError: there is no such label.
    """
    labels = target.labels
    if labels is None:
        raise ValueError("the target's file holds labels")
    index = np.arange(len(labels)) if target.index is None else target.index
    nobody = np.zeros((0, len(labels)), np.int8)
    population_labels = target.population_labels if target.population is not None else None
    target, true_labels, wanted_of_population = _wanted(target, population_labels, label)
    shadows = None if shadows is None else _wanted(replace(shadows, label_sets=target.label_sets), None, label)[0]
    if target.raw is None:
        raise ValueError("the target's file holds answers")
    in_use = temperatures_in_use(temperature)
    wide = tuple(sorted({*in_use, *EVERYWHERE}))
    return Signals(
        index=index,
        labels=labels,
        target=read_answers(target.raw, true_labels, target.kind, precision=target.raw.dtype, temperatures=wide),
        shadows=None if shadows is None else _shadow_answers(shadows, true_labels, in_use),
        trained_on=nobody if shadows is None or shadows.trained_on is None else shadows.trained_on,
        population_target=_population(target, wanted_of_population, wide),
        population_shadows=None if shadows is None else _population(shadows, wanted_of_population, in_use),
        population_labels=population_labels,
        population_trained_on=None if shadows is None else shadows.population_trained_on,
        several_labels=target.label_sets is not None,
    )


def _wanted(
    saved: SavedAnswers, population_labels: Ints | None, label: str | None
) -> tuple[SavedAnswers, Array, Array | None]:
    """The answers, and what right ones are, of records and of population records: of one label alone where it is named.

    Raises:
        StudyError: there is no such label.
    """
    sets = saved.label_sets
    if sets is None:
        if label is not None:
            raise StudyError(
                f"there is no label {label}", expected="records with several labels", where="attacks.label"
            )
        return saved, np.zeros(0, np.int64) if saved.labels is None else saved.labels, population_labels
    columns = list(range(len(sets.names))) if label is None else [sets.place(label)]

    def picked(values: Array | None) -> Array | None:
        return None if values is None else values[..., columns]

    answers = replace(saved, raw=picked(saved.raw), population=picked(saved.population))
    rows = np.zeros(0, np.int64) if saved.labels is None else saved.labels
    of_population = None if population_labels is None else sets.of(population_labels)[:, columns]
    return answers, sets.of(rows)[:, columns], of_population


def _shadow_answers(shadows: SavedAnswers, labels: np.ndarray, temperatures: Sequence[float]) -> Answers:
    if shadows.raw is not None:
        return read_answers(shadows.raw, labels, shadows.kind, precision=shadows.raw.dtype, temperatures=temperatures)
    if shadows.log_p is None or shadows.log_1mp is None:
        raise ValueError("the shadow file holds answers or their logs")
    # Above one half no other class can be larger; below, the logs do not tell (nor does any attack ask).
    sure = shadows.log_p > np.log(0.5)
    return Answers(shadows.log_p.astype(np.float32), shadows.log_1mp.astype(np.float32), sure, kind=shadows.kind)


def _population(saved: SavedAnswers, labels: np.ndarray | None, temperatures: Sequence[float]) -> Answers | None:
    if saved.population is None or labels is None:
        return None
    return read_answers(saved.population, labels, saved.kind, keep_vectors=VECTOR_MODELS, temperatures=temperatures)
