"""What an audit needs, put together from a study. Nothing is trained or written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from memberwise._version import __version__
from memberwise.assess import AttackRequest
from memberwise.auditing.prepare.inputs import Inputs
from memberwise.auditing.prepare.model import check_defence_fits, check_recipe, engine_for, model_for
from memberwise.auditing.prepare.records import records_of
from memberwise.auditing.prepare.representation import Representations, fitted_target, representations_for
from memberwise.auditing.prepare.target import target_of
from memberwise.data import Dataset, Roles
from memberwise.data.noisy import append_made
from memberwise.defences.output.registry import output_defences
from memberwise.defences.training.registry import defended, training_defence
from memberwise.errors import StudyError
from memberwise.models.build import Model
from memberwise.seeds import Seeds
from memberwise.signals.knowledge import read_transfer
from memberwise.signals.questions import Questions
from memberwise.signals.views import query_views
from memberwise.study.entrypoint import code_hash
from memberwise.study.schema import PlanConfig, Study
from memberwise.targets.base import Target
from memberwise.targets.estimators import EstimatorModels
from memberwise.targets.files import check_target_file
from memberwise.training.engines.base import Engine
from memberwise.training.job import Job
from memberwise.training.plan import Plan, choose_device
from memberwise.training.recipe import Recipe

# Accuracy of shadow models is measured on this many test and background records at most.
SAMPLE = 2_000
Note = tuple[str, str]


@dataclass(frozen=True)
class Prepared:
    """All that is needed to train and ask the target and the shadow models.

    Attributes:
        asked: what the target is asked; the shadow models are asked ``shadow_questions`` (smaller test sample).
        target: the trained target, where it is given; ``target_hash`` identifies it.
        shadow_job: the job of the k-th shadow model.
        identity: what every block depends on beside its jobs.
    """

    study: Study
    seeds: Seeds
    dataset: Dataset
    roles: Roles
    model: Model
    engine: Engine
    plan: Plan
    target_job: Job
    shadow_job: Callable[[int], Job]
    questions: Questions
    shadow_questions: Questions
    target: Target | None
    target_hash: str | None
    identity: dict[str, Any]
    notes: list[Note]


def prepare(study: Study, inputs: Inputs, plan: PlanConfig | None = None) -> Prepared:
    """Read the data, give every record its role, build the model and the jobs.

    Args:
        plan: the plan of the run folder that is continued; the study's own keys come first.
    """
    study = defended(study)
    if study.target.file is not None:
        check_target_file(Path(study.target.file))
    if study.attacks.transfer is not None:
        read_transfer(Path(study.attacks.transfer))
    dataset, roles, notes = records_of(study, inputs, Seeds(study.run.seed))
    return assemble(study, inputs, dataset, roles, notes, plan)


def with_auxiliary(prepared: Prepared, inputs: Inputs, x: NDArray[Any], y: NDArray[np.int64]) -> Prepared:
    """The same audit with these records (float32, as they are asked) as the auxiliary ones, for shadow models."""
    before = prepared.dataset
    rows = np.arange(before.records, before.records + len(y))
    units = prepared.roles.units
    if units is not None:
        units = np.r_[units, units.max() + 1 + np.arange(len(y))]
    roles = replace(prepared.roles, auxiliary=rows, units=units)
    dataset = _appended(prepared, x, y)
    return assemble(prepared.study, inputs, dataset, roles, prepared.notes, prepared.plan.to_study())


def _appended(prepared: Prepared, x: NDArray[Any], y: NDArray[np.int64]) -> Dataset:
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


def assemble(
    study: Study, inputs: Inputs, dataset: Dataset, roles: Roles, notes: list[Note], plan: PlanConfig | None
) -> Prepared:
    """Model, engine, jobs and questions for records whose roles are known.

    Raises:
        StudyError: recipe, defence or model do not fit each other or the records.
    """
    seeds, model = Seeds(study.run.seed), model_for(study, inputs, dataset)
    device = choose_device(study.run.device)
    check_recipe(study, model, dataset, roles)
    check_defence_fits(study, model, roles)
    fitted = fitted_target(study, inputs)
    representations = representations_for(study, inputs, fitted, model, dataset, roles)
    target_job = _target_job(study, dataset, roles, seeds)
    engine, made, more = engine_for(study, plan, model, dataset, device, target_job, representations.models)
    kind: Literal["halves", "auxiliary"] = "halves" if study.shadow.data == "halves" else "auxiliary"

    def shadow_job(k: int) -> Job:
        rows = roles.shadow_rows(k, seeds, kind)
        return replace(target_job, rows=rows, seed=seeds.integer("shadow", k))

    if study.shadow.data != "synthetic" or len(roles.auxiliary):
        more += _check_sizes(study, roles, target_job, [shadow_job(k) for k in (0, 1)])
    questions, shadow_questions = _asked(study, inputs, dataset, representations, roles, seeds)
    estimator = None if fitted is None else EstimatorModels([fitted], dataset.class_labels, representations.target.rows)
    target, target_hash, noticed = target_of(study, inputs, engine, questions, dataset, estimator)
    return Prepared(
        study,
        seeds,
        dataset,
        roles,
        model,
        engine,
        made,
        target_job,
        shadow_job,
        questions,
        shadow_questions,
        target,
        target_hash,
        _identity(study, dataset, representations, roles, model, made, device),
        [*notes, *(note for note in [*representations.notes, *more, *noticed] if note not in notes)],
    )


def _target_job(study: Study, dataset: Dataset, roles: Roles, seeds: Seeds) -> Job:
    """How the target is trained; a shadow model's job differs in its rows and its seed alone."""
    recipe, rows = Recipe.of(study.training), roles.target_rows
    step, procedure = training_defence(study.training, len(dataset.classes), len(rows), dataset.shape)
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
    return [("size-mismatch", f"{message}: attacks by unlike shadow models look weaker than they are")]


def _asked(
    study: Study, inputs: Inputs, dataset: Dataset, representations: Representations, roles: Roles, seeds: Seeds
) -> tuple[Questions, Questions]:
    if study.queries != "none" and dataset.kind != "image":
        raise StudyError("queries are for images", found=f"records of shape {dataset.shape}", where="queries")
    query_views(study.queries)
    own = np.concatenate([roles.background, roles.auxiliary])
    sample = np.sort(seeds.rng("background sample").permutation(own)[:SAMPLE])
    questions = Questions(
        representations.target.x,
        dataset.y,
        len(dataset.classes),
        roles.audited,
        roles.population,
        roles.test,
        sample,
        len(own) / max(1, len(sample)),
        study.queries,
        output_defences(study.answer),
        seeds.sequence("answer key").generate_state(8, np.uint32).tobytes(),
        roles.reference if len(roles.reference) else None,
        study.run.seed,
        AttackRequest.of(study, inputs.attacks).collectors(study),
        roles.validation if len(roles.validation) else None,
        as_stored=representations.target.as_stored,
    )
    test = np.sort(seeds.rng("test sample").permutation(roles.test)[:SAMPLE])
    beside = roles.auxiliary if study.shadow.data != "halves" else None
    of_models = replace(questions, x=representations.models.x, as_stored=representations.models.as_stored)
    return questions, replace(of_models, test=test, auxiliary=beside)


def _identity(
    study: Study,
    dataset: Dataset,
    representations: Representations,
    roles: Roles,
    model: Model,
    plan: Plan,
    device: torch.device,
) -> dict[str, Any]:
    def digest(rows: NDArray[np.int64]) -> str:
        return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()

    more = [name for name in ("validation", "auxiliary") if len(getattr(roles, name))]
    return {
        "version": __version__,
        "data": dataset.sha256,
        "features": hashlib.sha256(np.ascontiguousarray(dataset.x).tobytes()).hexdigest(),
        "inputs": [
            [
                (side.how, () if side.rows is None else side.rows.names)
                for side in (representations.target, representations.models)
            ],
            [repr(value) for value in dataset.class_labels.values],
        ],
        "roles": {
            name: digest(getattr(roles, name)) for name in ("audited", "population", "test", "background", *more)
        },
        "model": [model.name, model.kind, model.code, study.model.model_dump(mode="json")],
        "plan": vars(plan),
        "queries": study.queries,
        "answer": [
            [answer.model_dump(mode="json"), code_hash(type(made))]
            for answer, made in zip(study.answer, output_defences(study.answer), strict=True)
        ],
        "seed": study.run.seed,
        "device": device.type,
    }
