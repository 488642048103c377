"""What an audit needs, put together from a study. Nothing is trained or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from memberwise.auditing.prepare.identity import identity_of
from memberwise.auditing.prepare.inputs import Inputs
from memberwise.auditing.prepare.model import check_defence_fits, check_recipe, model_for, told_notes, trainer_for
from memberwise.auditing.prepare.questions import early_positions, questions_of
from memberwise.auditing.prepare.records import records_of
from memberwise.auditing.prepare.representation import fitted_target, representations_for
from memberwise.auditing.prepare.target import target_of
from memberwise.auditing.resolve import ResolvedStudy
from memberwise.data import Dataset, Roles
from memberwise.data.noisy import append_made
from memberwise.defences.training.registry import training_defence
from memberwise.errors import Note, StudyError, TrainingError
from memberwise.models.build import Model
from memberwise.seeds import Seeds
from memberwise.signals.codec import VECTOR_MODELS
from memberwise.signals.knowledge import read_transfer
from memberwise.signals.questions import Questions
from memberwise.study.schema import PlanConfig, Study
from memberwise.targets.base import Target
from memberwise.targets.files import check_target_file
from memberwise.targets.label_set_estimators import estimator_models
from memberwise.targets.objects import is_function
from memberwise.targets.skops_files import trust_notes
from memberwise.training.job import Job
from memberwise.training.label_sets import LabelSetStep
from memberwise.training.plan import Plan, choose_device
from memberwise.training.recipe import Recipe
from memberwise.training.shadow_jobs import ShadowJobs
from memberwise.training.trainers.base import Trainer
from memberwise.types.arrays import Array, Ints
from memberwise.types.stages import Stages


@dataclass(frozen=True)
class Prepared:
    """All that is needed to train and ask the target and the shadow models.

    Attributes:
        asked: what the target is asked; the shadow models are asked ``shadow_questions`` (smaller test sample).
        target: the trained target, where it is given; ``target_hash`` identifies it.
        trainer, plan: the shadow models'. target_trainer: the target's, which their number does not change.
        shadow_jobs: the jobs of the shadow models.
        identity: what every block depends on beside its jobs.
        refused: attacks that a budget of questions does not do for, each with the reason.
    """

    resolved: ResolvedStudy
    seeds: Seeds
    dataset: Dataset
    roles: Roles
    model: Model
    trainer: Trainer
    target_trainer: Trainer
    plan: Plan
    target_job: Job
    shadow_jobs: ShadowJobs
    questions: Questions
    shadow_questions: Questions
    target: Target | None
    target_hash: str | None
    identity: dict[str, object]
    notes: list[Note]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def study(self) -> Study:
        """The study, with the plan by which it is carried out."""
        return self.resolved.study.model_copy(update={"plan": self.plan.to_study()})

    @property
    def target_identity(self) -> dict[str, object]:
        """``identity`` of the target, where it is trained here: by its own plan."""
        return self.identity if self.target is not None else {**self.identity, "plan": vars(self.plan.of_target())}

    def shadow_job(self, k: int) -> Job:
        """The job of the k-th shadow model."""
        return self.shadow_jobs.job(k)


def prepare(
    resolved: ResolvedStudy, inputs: Inputs, plan: PlanConfig | None = None, stages: Stages | None = None
) -> Prepared:
    """Read the data, give every record its role, build the model and the jobs.

    Args:
        plan: the plan of the run folder that is continued; the study's own keys come first.
        stages: is told what took how long.
    """
    study = resolved.study
    if study.target.file is not None:
        check_target_file(Path(study.target.file))
    if study.attacks.transfer is not None:
        read_transfer(Path(study.attacks.transfer))
    dataset, roles, notes = records_of(study, inputs, Seeds(study.run.seed))
    stages = stages or Stages()
    stages.over("data")
    prepared = assemble(resolved, inputs, dataset, roles, notes, plan)
    stages.over("plan")
    return prepared


def with_auxiliary(prepared: Prepared, inputs: Inputs, x: Array, y: Ints) -> Prepared:
    """The same audit with these records (float32, as they are asked) as the auxiliary ones, for shadow models.

    ``x``: ``(r, ...)``; ``y``: ``(r,)`` class numbers.
    """
    before = prepared.dataset
    rows = np.arange(before.records, before.records + len(y))
    units = prepared.roles.units
    if units is not None:
        units = np.r_[units, units.max() + 1 + np.arange(len(y))]
    roles = replace(prepared.roles, auxiliary=rows, units=units)
    dataset = _appended(prepared, x, y)
    again = assemble(prepared.resolved, inputs, dataset, roles, prepared.notes, prepared.plan.to_study())
    return replace(again, target=prepared.target, refused=prepared.refused)  # one that is served has begun


def _appended(prepared: Prepared, x: Array, y: Ints) -> Dataset:
    before, questions = prepared.dataset, prepared.questions
    if questions.as_stored:
        width = None if before.frame is None else before.frame.shape[1]
        if before.frame is None or width != questions.x.shape[1] or not prepared.shadow_questions.as_stored:
            raise StudyError(
                "records made for a target that takes the table's own rows are none for a model that takes others",
                where="shadow.data",
                fix="a model of the target's own kind, and a table of the columns that it knows",
            )
    return append_made(before, x, y, questions.as_stored)


def with_smaller_stack(prepared: Prepared, inputs: Inputs, error: Exception) -> Prepared:
    """The same audit under a new plan: half as many models at once.

    Raises:
        TrainingError: one model alone does not fit.
    """
    stack = prepared.plan.stack
    if stack == 1:
        raise TrainingError("one model alone does not fit into the device's memory", found=str(error)) from error
    plan = prepared.plan.to_study().model_copy(update={"stack": stack // 2})
    study = prepared.resolved.study.model_copy(update={"plan": plan})
    smaller = prepare(replace(prepared.resolved, study=study), inputs)
    message = f"{stack} models at once do not fit into the device's memory: begun again with {stack // 2}"
    kept = [note for note in prepared.notes if note[0] == "out-of-memory"]
    return replace(smaller, notes=[*smaller.notes, *kept, Note("out-of-memory", message)])


def assemble(
    resolved: ResolvedStudy, inputs: Inputs, dataset: Dataset, roles: Roles, notes: list[Note], plan: PlanConfig | None
) -> Prepared:
    """Model, engine, jobs and questions for records whose roles are known.

    Raises:
        StudyError: recipe, defence or model do not fit each other or the records.
    """
    study = resolved.study
    seeds, fitted = Seeds(study.run.seed), fitted_target(study, inputs)
    model = model_for(study, inputs, dataset, fitted)
    device = choose_device(study.run.device)
    check_recipe(study, model, dataset, roles)
    check_defence_fits(
        study, resolved.output_defences, model, roles, dataset.layout if is_function(inputs.target) else None
    )
    of_skops = inputs.target is None and study.target.file is not None and study.target.file.lower().endswith(".skops")
    trusted = trust_notes(Path(study.target.file or "")) if of_skops else []
    representations = representations_for(study, inputs, fitted, model, dataset, roles)
    target_job = _target_job(study, dataset, roles, seeds)
    training = trainer_for(study, plan, model, dataset, device, target_job, representations.models)
    made, more = training.plan, training.notes
    kind: Literal["halves", "auxiliary"] = "halves" if study.shadow.data == "halves" else "auxiliary"
    network = training.network
    looked_at = early_positions(resolved, dataset, model, target_job, roles, network is not None and network.convolves)
    shadow_jobs = ShadowJobs(target_job, roles, seeds, kind, VECTOR_MODELS if len(looked_at[0]) else 0)
    if study.shadow.data != "synthetic" or len(roles.auxiliary):
        more += _check_sizes(study, roles, target_job, [shadow_jobs.job(k) for k in (0, 1)])
    altered = model.takes is None and not dataset.several and dataset.label_sets is None
    questions, shadow_questions = questions_of(resolved, dataset, representations, roles, seeds, altered)
    shadow_questions = replace(shadow_questions, early=looked_at[0], early_population=looked_at[1])
    estimator = None if fitted is None else estimator_models([fitted], dataset, representations.target.rows)
    target, target_hash, noticed = target_of(
        study, inputs, training.network, questions, dataset, estimator, representations.target.rows
    )
    known = [*representations.notes, *told_notes(study, fitted)]
    if any(note[0] == "target-columns" for note in noticed):  # of what was encoded here the target sees nothing
        known = [note for note in known if note[0] != "target-encoding"]
    return Prepared(
        resolved=resolved,
        seeds=seeds,
        dataset=dataset,
        roles=roles,
        model=model,
        trainer=training.trainer,
        target_trainer=training.target_trainer,
        plan=made,
        target_job=target_job,
        shadow_jobs=shadow_jobs,
        questions=questions,
        shadow_questions=shadow_questions,
        target=target,
        target_hash=target_hash,
        identity=identity_of(resolved, dataset, representations, roles, model, made, device),
        notes=[*notes, *(note for note in [*trusted, *known, *more, *noticed] if note not in notes)],
    )


def _target_job(study: Study, dataset: Dataset, roles: Roles, seeds: Seeds) -> Job:
    """How the target is trained; a shadow model's job differs in its rows and its seed alone."""
    recipe, rows = Recipe.of(study.training), roles.target_rows
    step, procedure = training_defence(study.training, len(dataset.outputs), len(rows), dataset.shape)
    if dataset.label_sets is not None:
        step = LabelSetStep(
            dataset.label_sets.sets, study.training.label_smoothing, study.training.label_loss == "mean"
        )
    return Job(
        rows,
        step,
        recipe,
        seeds.integer("target"),
        validation=roles.validation if recipe.patience else None,
        reference=roles.reference if len(roles.reference) else None,
        procedure=procedure,
    )


def _check_sizes(study: Study, roles: Roles, target: Job, shadows: Sequence[Job]) -> list[Note]:
    """A shadow trains on as many records as the target, or the study is refused."""
    if study.shadow.data == "auxiliary" and not len(roles.auxiliary):
        raise StudyError(
            "shadow models have no records to train on",
            expected="auxiliary records, for which shadow.data = 'auxiliary' asks",
            found="none",
            where="data.auxiliary",
            fix="--auxiliary COUNT, rows of them, or shadow.data = 'halves'",
        )
    sizes = {len(job.rows) for job in shadows}
    off = max((abs(size - len(target.rows)) for size in sizes), default=0)
    if off <= roles.slack or study.data.coins:  # coins are even in the mean only
        return []
    message = (
        f"the target trains on {len(target.rows):,} records, shadow models on {', '.join(map(str, sorted(sizes)))}"
    )
    if not study.shadow.allow_size_mismatch:
        raise StudyError(
            "shadow models would not train on as many records as the target",
            expected=f"{len(target.rows):,} records each",
            found=message,
            fix="give as many non-members as members (the rest of the target's rows as background), "
            "or --allow-size-mismatch",
        )
    return [Note("size-mismatch", f"{message}: attacks by unlike shadow models look weaker than they are")]
