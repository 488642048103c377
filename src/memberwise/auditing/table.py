"""The table of signals of a run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from memberwise.auditing.prepare import Prepared
from memberwise.data import Dataset, Roles
from memberwise.signals.codec import EARLY, answers_of, early_of
from memberwise.signals.schedule import ShadowRun
from memberwise.signals.table import AuxiliaryTable, EarlyAnswers, Signals
from memberwise.types.arrays import Arrays, Ints


def signals_table(prepared: Prepared, target: Arrays, shadows: ShadowRun) -> Signals:
    """The table of signals from the target's and the shadow models' arrays."""
    dataset = prepared.dataset
    rows = (prepared.shadow_job(k).rows for k in range(shadows.count))  # of one model at a time: all take gigabytes
    return make_table(dataset, prepared.roles, target, shadows.arrays, rows)


def make_table(
    dataset: Dataset,
    roles: Roles,
    target: Arrays,
    shadows: Arrays,
    rows: Iterable[Ints],
) -> Signals:
    """The table of signals of models whose answers are at hand.

    ``trained_on`` becomes ``(m, n)``.

    Args:
        target, shadows: arrays of blocks (``signals.codec``); empty where there are no shadow models.
        rows: those on which each shadow model trained.

    Raises:
        ValueError: the target was not asked about the audited records.
    """
    audited = answers_of(target, "audited")
    if audited is None:
        raise ValueError("the target was asked about the audited records")
    models = len(shadows["train_accuracy"]) if shadows else 0
    trained_on, seen = (np.empty((models, len(each)), np.int8) for each in (roles.audited, roles.auxiliary))
    for k, of_model in enumerate(rows):
        trained_on[k], seen[k] = np.isin(roles.audited, of_model), np.isin(roles.auxiliary, of_model)
    answers = answers_of(shadows, "auxiliary")
    return Signals(
        index=roles.audited,
        labels=dataset.y[roles.audited],
        target=audited,
        shadows=answers_of(shadows, "audited"),
        trained_on=trained_on,
        population_target=answers_of(target, "population"),
        population_shadows=answers_of(shadows, "population"),
        beside=None if answers is None else AuxiliaryTable(answers, dataset.y[roles.auxiliary], seen),
        population_labels=dataset.y[roles.population] if len(roles.population) else None,
        groups=None if dataset.groups is None else dataset.groups[roles.audited],
        features=dataset.x,
        several_labels=dataset.label_sets is not None,
        population_index=roles.population if len(roles.population) else None,
        early=_early(shadows),
    )


def _early(shadows: Arrays) -> EarlyAnswers | None:
    """Of shadow models' early checkpoints; None where none was asked."""
    audited = early_of(shadows)
    if not audited:
        return None
    records, positions = (shadows[f"{EARLY}{name}.positions"][0] for name in ("", ".population"))
    return EarlyAnswers(records, audited, early_of(shadows, ".population"), positions)
