"""The audit: from a study to a result. Reads top to bottom: data, training, signals, attacks, statistics, report."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from memberwise.assess import AttackRequest, assess
from memberwise.assess.contradiction import Accuracies, contradiction_notes
from memberwise.assess.notes import accuracy_notes
from memberwise.auditing.cost import calibrate
from memberwise.auditing.facts import _data_facts, _shadow_facts, _worst_images, finish
from memberwise.auditing.prepare import Inputs, Prepared, prepare, with_auxiliary
from memberwise.auditing.prepare.target import stored_accuracy
from memberwise.auditing.saved import audit_saved
from memberwise.auditing.table import _table
from memberwise.auditing.target import _quality, _target_arrays
from memberwise.defences.training.registry import defended
from memberwise.errors import TrainingError
from memberwise.report.result import Result
from memberwise.report.schema import TargetFacts
from memberwise.signals.gather import gather
from memberwise.signals.progress import Progress, Silent
from memberwise.signals.remarks import remark_notes
from memberwise.signals.schedule import FixedCount, Jobs, ShadowRun, TimeBudget
from memberwise.signals.steps import lift_zeros, step_notes
from memberwise.signals.synthesis import synthetic_records
from memberwise.store.folder import RunFolder, default_folder
from memberwise.study.duration import seconds_of
from memberwise.study.schema import Study
from memberwise.training.job import describe_job

INTERRUPTED = "interrupted"
SAVED_ANSWERS = "saved answers"

# What a time budget keeps back for attacks, statistics and the report.
ATTACK_SECONDS = 6.0
ATTACK_SECONDS_A_RECORD = 0.0008


def run_audit(
    study: Study, inputs: Inputs | None = None, *, resume: bool = False, progress: Progress | None = None
) -> Result:
    """Carry out a study: train or read, attack, judge, and write the run folder.

    Raises:
        MemberwiseError: see memberwise.errors; bad input is found before anything is trained or written.
    """
    begun = time.perf_counter()
    study = with_output_folder(defended(study))
    asking = AttackRequest.of(study)
    folder = RunFolder(Path(str(study.run.out)), study, resume)
    inputs = inputs or Inputs()
    if study.outputs.file is not None:
        return audit_saved(study, inputs, asking, folder, begun)
    prepared = prepare(study, inputs, folder.plan)
    asking.check_share(prepared.roles.member)
    while True:
        try:
            return _audit_trained(prepared, inputs, asking, folder, begun, progress or Silent())
        except torch.OutOfMemoryError as error:
            prepared = _with_smaller_stack(prepared, inputs, error)


def _audit_trained(
    prepared: Prepared, inputs: Inputs, asking: AttackRequest, folder: RunFolder, begun: float, progress: Progress
) -> Result:
    """The audit of a model that is trained here, or given, with its shadow models."""
    study = prepared.study.model_copy(update={"plan": prepared.plan.to_study()})
    with folder:
        folder.write_study(study)
        target, changed = _target_arrays(prepared, folder)
        if study.shadow.data == "synthetic":
            prepared, made = _with_synthetic(prepared, inputs, folder)
            changed = [*changed, made]
        jobs, questions = _jobs(prepared, begun), prepared.shadow_questions
        shadows = gather(prepared.engine, jobs, questions, folder.blocks, prepared.identity, progress)
        if shadows.interrupted and not shadows.count:
            raise KeyboardInterrupt
        signals, step = lift_zeros(_table(prepared, target, shadows))
        roles, dataset = prepared.roles, prepared.dataset
        units = None if roles.units is None else roles.units[roles.audited]
        assessment = assess(signals, roles.member, study, asking, prepared.seeds, dataset.classes, units)
        assessment.curves.update(_worst_images(dataset, assessment.curves.get("worst.index")))
        train, test = _quality(target, "train", step), _quality(target, "test", step)
        facts = TargetFacts.of(
            "trained here" if prepared.target is None else study.target.file or "given in Python",
            prepared.model.name,
            train,
            test,
            float(target["validation_accuracy"][0]) if "validation_accuracy" in target else None,
        )
        notes = [
            *prepared.notes,
            *changed,
            *prepared.engine.notes,
            *remark_notes(target, shadows.arrays),
            *step_notes(step),
            *shadows.notes,
            *_interrupted(shadows, study),
        ]
        if shadows.count:
            notes += accuracy_notes(
                (train[0], test[0]), shadows.arrays["train_accuracy"], shadows.arrays["test_accuracy"]
            )
        if prepared.target is not None:
            notes += contradiction_notes(_accuracies(prepared, (train[0], test[0]), shadows))
        return finish(
            study,
            folder,
            assessment,
            begun,
            data=_data_facts(prepared),
            target=facts,
            shadow=_shadow_facts(prepared, shadows) if shadows.count else None,
            notes=notes,
            encoding=dataset.what_was_done(own_rows=prepared.questions.as_stored),
        )


def _with_smaller_stack(prepared: Prepared, inputs: Inputs, error: Exception) -> Prepared:
    """The same audit under a new plan: half as many models at once.

    Raises:
        TrainingError: one model alone does not fit.
    """
    stack = prepared.plan.stack
    if stack == 1:
        raise TrainingError("one model alone does not fit into the device's memory", found=str(error)) from error
    plan = prepared.plan.to_study().model_copy(update={"stack": stack // 2})
    smaller = prepare(prepared.study.model_copy(update={"plan": plan}), inputs)
    message = f"{stack} models at once do not fit into the device's memory: begun again with {stack // 2}"
    kept = [note for note in prepared.notes if note[0] == "out-of-memory"]
    return replace(smaller, notes=[*smaller.notes, *kept, ("out-of-memory", message)])


def with_output_folder(study: Study) -> Study:
    """The study with its output folder settled; of saved answers it names no other source of data."""
    if study.outputs.file is not None:
        study = study.model_copy(update={"data": study.data.model_copy(update={"source": SAVED_ANSWERS})})
    if study.run.out is not None:
        return study
    return study.model_copy(update={"run": study.run.model_copy(update={"out": str(default_folder(study))})})


def _jobs(prepared: Prepared, begun: float) -> Jobs:
    """The study's number of shadow models, or as many as its budget of time allows."""
    budget, block = prepared.study.shadow.budget, prepared.engine.block
    if budget is None:
        return FixedCount(prepared.shadow_job, prepared.study.shadow.count, block)
    count = 1 + prepared.study.shadow.count
    reserve = ATTACK_SECONDS + ATTACK_SECONDS_A_RECORD * len(prepared.roles.audited)
    ends = begun + seconds_of(budget) - reserve
    return TimeBudget(prepared.shadow_job, block, ends, calibrate(prepared) / count)


def _accuracies(prepared: Prepared, target: tuple[float, float], shadows: ShadowRun) -> Accuracies:
    """What is known of a target that was given, beside its shadow models."""
    return Accuracies(
        target[0],
        len(prepared.roles.members),
        target[1],
        len(prepared.roles.test),
        len(prepared.dataset.classes),
        stored_accuracy(prepared.study),
        shadows.arrays["train_accuracy"] if shadows.count else np.empty(0),
    )


def _interrupted(shadows: ShadowRun, study: Study) -> list[tuple[str, str]]:
    if not shadows.interrupted:
        return []
    wanted = study.shadow.budget or f"{study.shadow.count} models"
    return [
        (
            INTERRUPTED,
            f"interrupted after {shadows.count} shadow models (asked for: {wanted}); the figures are of a weaker "
            "attacker; the same command continues",
        )
    ]


def _with_synthetic(prepared: Prepared, inputs: Inputs, folder: RunFolder) -> tuple[Prepared, tuple[str, str]]:
    """The audit with shadow data made by asking the target, and what that took."""
    study, job = prepared.study, prepared.target_job
    made = synthetic_records(
        lambda: prepared.target or prepared.engine.train([job]),
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
    return with_auxiliary(prepared, inputs, made.x, made.y), ("synthetic-shadow-data", message)
