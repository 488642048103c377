"""Saved answers: what a model said about records, and what shadow models said, without the models themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memberwise.data.label_sets import LabelSets, label_set_notes, read_label_sets
from memberwise.errors import DataError, Note
from memberwise.signals.saved.arrays import (
    SavedArrays,
    index_of,
    look_at,
    needed,
    of_each_label,
    read_logs,
    read_population,
    read_raw,
    same_length,
    zero_or_one,
)
from memberwise.signals.saved.labels import answered_numbers, class_numbers
from memberwise.targets.base import Kind
from memberwise.types.arrays import Array, Ints, Mask


@dataclass(frozen=True)
class SavedAnswers:
    """One file of saved answers, checked.

    Attributes:
        kind: what one answer is.
        raw: ``(m, n, q, C)`` answers, float32 or float64 as they were saved, or ``(m, n, q)`` answered class numbers
            (-1: none of the classes); None where only logs were saved.
        log_p, log_1mp: ``(m, n, q)`` where they were saved instead of answers.
        labels, member, index: ``(n,)``, in the target's file only (index also in the shadow file).
        trained_on: ``(m, n)`` 0/1, in the shadow file only.
        population: ``(m, k, 1, C)`` answers on population records, or None; population_labels ``(k,)``.
        population_trained_on: ``(m, k)`` 0/1 or None.
        classes: names of the classes, in the order of the columns.
        label_sets: where a record has several labels: ``labels`` number its sets, and columns are its labels.
        notes: warnings as (code, message).
    """

    kind: Kind
    raw: Array | None
    log_p: Array | None = None
    log_1mp: Array | None = None
    labels: Ints | None = None
    member: Mask | None = None
    index: Ints | None = None
    trained_on: NDArray[np.int8] | None = None
    population: Array | None = None
    population_labels: Ints | None = None
    population_trained_on: NDArray[np.int8] | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[Note, ...] = field(default=())
    label_sets: LabelSets | None = None


def read_target(arrays: SavedArrays, where: str) -> SavedAnswers:
    """The target's saved answers.

    Raises:
        DataError: no answers, labels or member; shapes that do not fit; NaN or inf; probabilities that are negative or
            do not sum to 1; ``member`` not 0/1 or all one value.
    """
    several = "labels" in arrays and arrays["labels"].ndim == 2 and arrays["labels"].shape[1] > 1
    arrays = of_each_label(arrays, where) if several else arrays
    kind, raw = read_raw(arrays, where, lead=False)
    labels_raw = needed(arrays, "labels", where)
    n, classes_count = raw.shape[1], raw.shape[-1] if kind != "labels" else None
    same_length("labels", labels_raw[:, 0] if several else labels_raw, n, where)
    if several:
        return _of_several_labels(arrays, where, kind, raw, labels_raw)
    labels, classes = class_numbers(labels_raw, arrays.get("classes"), classes_count, where)
    if kind == "labels":
        raw = answered_numbers(raw, classes, where)
        classes_count = len(classes)
    member = _member(arrays, n, where)
    population, population_labels = read_population(arrays, kind, where, lead=False)
    if population is not None:
        if population_labels is None:
            raise DataError("population answers without labels", expected="an array population_labels", where=where)
        population_labels, _ = class_numbers(
            population_labels, np.asarray(classes), classes_count, where, "population_labels"
        )
        same_length("population_labels", population_labels, population.shape[1], where)
    return SavedAnswers(
        kind,
        raw,
        labels=labels,
        member=member,
        index=index_of(arrays, n, where),
        population=population,
        population_labels=population_labels,
        classes=classes,
        notes=look_at(raw, kind, where, arrays.get(kind)),
    )


def _of_several_labels(arrays: SavedArrays, where: str, kind: Kind, raw: Array, labels_raw: Array) -> SavedAnswers:
    """The target's saved answers about several labels a record."""
    if kind == "labels" or raw.shape[-1] != labels_raw.shape[1]:
        raise DataError(
            "the answers do not fit the labels",
            expected=f"a logit or probability of each of {labels_raw.shape[1]} labels",
            found="answered labels" if kind == "labels" else f"{raw.shape[-1]} a record",
            where=where,
        )
    names = list(arrays["classes"]) if "classes" in arrays else None
    labels, sets = read_label_sets(labels_raw, names, f"{where}, labels")
    member = _member(arrays, raw.shape[1], where)
    population, population_labels = read_population(arrays, kind, where, lead=False)
    if population is not None:
        population_raw = needed(arrays, "population_labels", where)
        population_labels, sets = read_label_sets(population_raw, sets.names, f"{where}, population_labels", known=sets)
        same_length("population_labels", population_labels, population.shape[1], where)
    return SavedAnswers(
        kind,
        raw,
        labels=labels,
        member=member,
        index=index_of(arrays, raw.shape[1], where),
        population=population,
        population_labels=population_labels,
        classes=sets.classes,
        notes=tuple(label_set_notes(sets, labels)),
        label_sets=sets,
    )


def _member(arrays: SavedArrays, n: int, where: str) -> Mask:
    """``(n,)``: who is a member; there are both."""
    member = zero_or_one(needed(arrays, "member", where), "member", where)
    same_length("member", member, n, where)
    if member.all() or not member.any():
        raise DataError(
            "there are only members" if member.all() else "there are only non-members",
            expected="member 1 for records the model was trained on and 0 for others, both present",
            where=f"{where}, member",
        )
    return member.astype(bool)


def read_shadows(arrays: SavedArrays, target: SavedAnswers, where: str) -> SavedAnswers:
    """The shadow models' saved answers, aligned with the target's records.

    Raises:
        DataError: as ``read_target``; records, queries, classes or kind that do not fit the target's file.
    """
    arrays = arrays if target.label_sets is None else of_each_label(arrays, where)
    log_p = log_1mp = raw = None
    kind = target.kind
    if "log_p" in arrays or "log_1mp" in arrays:
        log_p, log_1mp = read_logs(arrays, where)
        shape: tuple[int, ...] = log_p.shape
    else:
        kind, raw = read_raw(arrays, where, lead=True)
        if kind != target.kind:
            raise DataError(
                "target and shadow models answer different things",
                expected=f"{target.kind}, as the target's file",
                found=kind,
                where=where,
            )
        raw = answered_numbers(raw, target.classes, where) if kind == "labels" else raw
        shape = raw.shape
    trained_on = zero_or_one(needed(arrays, "trained_on", where), "trained_on", where)
    if trained_on.shape != shape[:2]:
        raise DataError(
            "trained_on does not fit the answers",
            expected=f"(models, records) = {shape[:2]}",
            found=str(trained_on.shape),
            where=where,
        )
    population, _ = read_population(arrays, kind, where, lead=True)
    seen = arrays.get("population_trained_on")
    shadows = SavedAnswers(
        kind,
        raw,
        log_p,
        log_1mp,
        index=index_of(arrays, shape[1], where),
        trained_on=trained_on,
        population=population,
        population_trained_on=None if seen is None else zero_or_one(seen, "population_trained_on", where),
        notes=() if raw is None or target.label_sets is not None else look_at(raw, kind, where, arrays.get(kind)),
    )
    return _aligned(shadows, target, where)


def _aligned(shadows: SavedAnswers, target: SavedAnswers, where: str) -> SavedAnswers:
    """The shadow file's records in the target's order; everything must fit."""
    answers = shadows.raw if shadows.raw is not None else shadows.log_p
    if target.raw is None or answers is None or shadows.trained_on is None:
        raise ValueError("both files hold answers, the second trained_on")
    n = target.raw.shape[1]
    take = np.arange(n)
    notes = shadows.notes
    if (target.index is None) != (shadows.index is None):
        notes += (
            Note(
                "index-in-one-file",
                f"only {'the outputs' if shadows.index is None else 'the shadow outputs'} have an index: records were "
                "aligned by position; if the files are ordered differently, every figure from shadow models is wrong",
            ),
        )
    if target.index is not None and shadows.index is not None:
        order = np.argsort(shadows.index, kind="stable")
        place = np.searchsorted(shadows.index, target.index, sorter=order)
        take = order[np.minimum(place, len(order) - 1)]
        missing = np.flatnonzero(shadows.index[take] != target.index)
        if len(missing):
            raise DataError(
                "records of the outputs are missing in the shadow outputs",
                found=f"{len(missing)} of {n}, the first with index {target.index[missing[0]]}",
                where=where,
            )
    elif answers.shape[1] != n:
        raise DataError(
            "outputs and shadow outputs hold different numbers of records",
            expected=f"{n}, as in the outputs",
            found=str(answers.shape[1]),
            where=where,
            fix="give both files an index array to align them",
        )
    expected = target.raw.shape[2:] if shadows.raw is not None else target.raw.shape[2:3]
    if answers.shape[2:] != expected:
        raise DataError(
            "outputs and shadow outputs do not fit",
            expected=f"(queries, classes) = {expected}" if len(expected) == 2 else f"{expected[0]} queries",
            found=str(answers.shape[2:]),
            where=where,
        )
    _population_fits(shadows, target, answers.shape[0], where)

    def pick(values: Array | None) -> Array | None:
        return None if values is None else values[:, take]

    return SavedAnswers(
        shadows.kind,
        pick(shadows.raw),
        pick(shadows.log_p),
        pick(shadows.log_1mp),
        trained_on=shadows.trained_on[:, take],
        population=shadows.population,
        population_trained_on=shadows.population_trained_on,
        notes=notes,
    )


def _population_fits(shadows: SavedAnswers, target: SavedAnswers, models: int, where: str) -> None:
    if shadows.population is not None and len(shadows.population) != models:
        raise DataError(
            "population answers are not of the same shadow models as the other answers",
            expected=f"{models} models",
            found=f"{len(shadows.population)} models",
            where=where,
        )
    if target.population is None or shadows.population is None:
        return
    if target.population.shape[1:] != shadows.population.shape[1:]:
        raise DataError(
            "population answers of outputs and shadow outputs do not fit",
            expected=f"{target.population.shape[1]} records, {target.population.shape[-1]} classes",
            found=f"{shadows.population.shape[1]} records, {shadows.population.shape[-1]} classes",
            where=where,
        )
    seen = shadows.population_trained_on
    if seen is not None and seen.shape != (models, shadows.population.shape[1]):
        raise DataError(
            "population_trained_on does not fit the population answers",
            expected=str((models, shadows.population.shape[1])),
            found=str(seen.shape),
            where=where,
        )
