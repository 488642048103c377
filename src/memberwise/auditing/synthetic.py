"""Shadow data made by asking the target, where the study wants them."""

from __future__ import annotations

from memberwise.auditing.prepare import Inputs, Prepared, with_auxiliary
from memberwise.errors import Note
from memberwise.signals.synthesis import synthetic_records
from memberwise.store.folder import RunFolder
from memberwise.training.job import describe_job

Notes = list[Note]


def with_synthetic_shadow_data(prepared: Prepared, inputs: Inputs, folder: RunFolder) -> tuple[Prepared, Notes]:
    """The audit with shadow data made by asking the target, and what that took; as it is where none are wanted."""
    study, job = prepared.study, prepared.target_job
    if study.shadow.data != "synthetic":
        return prepared, []
    made = synthetic_records(
        lambda: prepared.target or prepared.target_trainer.train([job]),
        job,
        prepared.questions,
        study.shadow.synthesis,
        len(prepared.roles.paired),
        folder.blocks,
        {"target": prepared.target_hash, "job": describe_job(job), **prepared.identity},
        prepared.seeds.rng("synthetic shadow data"),
    )
    short = [f"{name} ({count})" for name, count in zip(prepared.dataset.classes, made.failures, strict=True) if count]
    failed = f"; searches that failed, by class: {', '.join(short)}" if short else ""
    message = f"{len(made.y):,} shadow records were made with {made.queries:,} queries of the target{failed}"
    return with_auxiliary(prepared, inputs, made.x, made.y), [Note("synthetic-shadow-data", message)]
