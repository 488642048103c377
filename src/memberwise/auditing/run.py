"""The audit: from a study to a result. Reads top to bottom: data, target, shadow models, table, attacks, report."""

from __future__ import annotations

from dataclasses import replace

import torch

from memberwise.assess import assess
from memberwise.auditing.bounded import bound_of
from memberwise.auditing.cascade import gather_rounds
from memberwise.auditing.facts import data_facts, finish, shadow_facts, target_facts, worst_images
from memberwise.auditing.notes import processor_notes, run_notes
from memberwise.auditing.prepare import Inputs, Prepared, prepare, with_smaller_stack
from memberwise.auditing.resolve import ResolvedStudy, resolve
from memberwise.auditing.saved import audit_saved
from memberwise.auditing.served import ask_served, finish_served, skipped_for
from memberwise.auditing.shadows import gather_shadows
from memberwise.auditing.synthetic import with_synthetic_shadow_data
from memberwise.auditing.table import signals_table
from memberwise.auditing.target import inspection_of
from memberwise.errors import StudyError
from memberwise.report.result import Result
from memberwise.signals.progress import Progress, Silent
from memberwise.signals.steps import lift_zeros
from memberwise.store.folder import TURNS, RunFolder
from memberwise.study.schema import Study
from memberwise.training.engines.registry import EngineSession
from memberwise.types.stages import Stages


def run_audit(
    study: Study,
    inputs: Inputs | None = None,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    stages: Stages | None = None,
) -> Result:
    """Carry out a study: train or read, attack, judge, and write the run folder.

    Args:
        stages: the clock of a process that has begun earlier.

    Raises:
        MemberwiseError: see memberwise.errors; bad input is found before anything is trained or written.
    """
    inputs = inputs or Inputs()
    stages = stages or Stages()
    return audit(resolve(study, inputs.attacks), inputs, resume=resume, progress=progress or Silent(), stages=stages)


def audit(
    resolved: ResolvedStudy,
    inputs: Inputs,
    *,
    resume: bool = False,
    progress: Progress,
    stages: Stages | None = None,
) -> Result:
    """The same for a study whose names are looked up already."""
    stages = stages or Stages()
    folder = RunFolder(resolved.folder, resolved.study, resume)
    if resolved.of_saved_answers:
        return audit_saved(resolved, inputs, folder, stages)
    prepared = prepare(resolved, inputs, folder.plan, stages)
    resolved.request.check_share(prepared.roles.member)
    while True:
        try:
            with folder:
                return _audit_trained(prepared, inputs, folder, stages, progress)
        except torch.OutOfMemoryError as error:
            prepared = with_smaller_stack(prepared, inputs, error)


def _audit_trained(prepared: Prepared, inputs: Inputs, folder: RunFolder, stages: Stages, progress: Progress) -> Result:
    """The audit of a model that is trained here, or given, with its shadow models."""
    folder.write_study(prepared.study)
    folder.blocks.mark_begun()
    prepared, target = ask_served(prepared, folder, progress)
    prepared, made = with_synthetic_shadow_data(prepared, inputs, folder)
    finish_served(prepared)
    stages.over("target")
    with EngineSession() as session:
        if prepared.resolved.request.rounds:  # a Ray of this machine is started once for all rounds
            session.begin(prepared.study.engine)
        shadows = gather_shadows(prepared, folder, stages.begun, progress)
        signals, step = lift_zeros(signals_table(prepared, target.arrays, shadows))
        cascade = gather_rounds(prepared, folder, target.arrays, shadows, signals, step, progress)
    signals = replace(signals, rounds=tuple(cascade.rounds))
    stages.over("shadow models")
    dataset, roles, study = prepared.dataset, prepared.roles, prepared.study
    try:
        assessment = assess(
            signals,
            roles.member,
            study,
            prepared.resolved.request,
            prepared.seeds,
            dataset.classes,
            roles.audited_units,
            folder.path / TURNS,
            stages,
        )
    except StudyError:
        if (
            shadows.interrupted or cascade.interrupted
        ):  # so early that the few models there are do for no attack: nothing to report on
            raise KeyboardInterrupt from None
        raise
    assessment.curves.update(worst_images(dataset, assessment.curves.get("worst.index")))
    facts = target_facts(prepared, target.arrays, step)
    return finish(
        prepared.study,
        folder,
        assessment,
        stages,
        data=data_facts(prepared),
        target=facts,
        shadow=shadow_facts(prepared, shadows, cascade.facts) if shadows.count else None,
        notes=[
            *run_notes(prepared, target, made, shadows, step),
            *processor_notes(shadows.processors + cascade.processors),
            *cascade.notes,
        ],
        skipped=[*skipped_for(prepared, target.arrays), *cascade.skipped],
        inspection=inspection_of(target.arrays),
        encoding=dataset.what_was_done(own_rows=prepared.questions.as_stored),
        bound=bound_of(prepared, target.arrays, assessment),
    )
