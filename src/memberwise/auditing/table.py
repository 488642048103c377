"""The table of signals of a run."""

from __future__ import annotations

import numpy as np

from memberwise.auditing.prepare import Prepared
from memberwise.signals.codec import answers_of
from memberwise.signals.schedule import ShadowRun
from memberwise.signals.table import AuxiliaryTable, Signals
from memberwise.store.blocks import Arrays


def signals_table(prepared: Prepared, target: Arrays, shadows: ShadowRun) -> Signals:
    """The table of signals from the target's and the shadow models' arrays."""
    dataset, roles = prepared.dataset, prepared.roles
    own = answers_of(target, "audited")
    if own is None:
        raise ValueError("the target was asked about the audited records")
    jobs = [prepared.shadow_job(k) for k in range(shadows.count)]
    trained_on = np.array([np.isin(roles.audited, job.rows) for job in jobs], np.int8)
    answers = answers_of(shadows.arrays, "auxiliary")
    seen = np.array([np.isin(roles.auxiliary, job.rows) for job in jobs], np.int8)
    return Signals(
        index=roles.audited,
        labels=dataset.y[roles.audited],
        target=own,
        shadows=answers_of(shadows.arrays, "audited"),
        trained_on=trained_on.reshape(len(jobs), len(roles.audited)),
        population_target=answers_of(target, "population"),
        population_shadows=answers_of(shadows.arrays, "population"),
        beside=None if answers is None else AuxiliaryTable(answers, dataset.y[roles.auxiliary], seen),
        population_labels=dataset.y[roles.population] if len(roles.population) else None,
        groups=None if dataset.groups is None else dataset.groups[roles.audited],
        features=dataset.x,
        population_index=roles.population if len(roles.population) else None,
    )
