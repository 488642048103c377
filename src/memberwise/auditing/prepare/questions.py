"""What the target and the shadow models are asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memberwise.auditing.prepare.representation import Representations
from memberwise.auditing.resolve import ResolvedStudy
from memberwise.data import Dataset, Roles
from memberwise.errors import StudyError
from memberwise.models.build import Model
from memberwise.seeds import Seeds
from memberwise.signals.collectors.registry import is_built_in
from memberwise.signals.questions import Questions
from memberwise.signals.temperature import EVERYWHERE, temperatures_in_use
from memberwise.signals.views import query_views
from memberwise.study.schema import Study
from memberwise.training.early import MOST_POPULATION, MOST_RECORDS, early_records
from memberwise.training.job import Job
from memberwise.types.arrays import Ints

# Accuracy of shadow models is measured on this many test and background records at most.
SAMPLE = 2_000
# Fewer records of an early checkpoint teach nothing.
FEWEST_EARLY = 50


def _label_alone(study: Study, dataset: Dataset) -> int | None:
    """Which of several labels the signals are about; None: all.

    Raises:
        StudyError: there is no such label.
    """
    label = study.attacks.label
    if label is None:
        return None
    if dataset.label_sets is None:
        raise StudyError(f"there is no label {label}", expected="records with several labels", where="attacks.label")
    return dataset.label_sets.place(label)


def early_positions(
    resolved: ResolvedStudy, dataset: Dataset, model: Model, job: Job, roles: Roles, convolves: bool
) -> tuple[Ints, Ints]:
    """Positions, ``(r,)`` and ``(z,)``, of the audited and population records that early checkpoints are asked about.

    None where no attack asks for checkpoints or there are none: a user's own training function, a procedure of
    several trainings, shadow models that train on other records. Behind output defences and of several labels a
    record none are asked either.
    """
    study, nothing = resolved.study, np.zeros(0, np.int64)
    has_reader = any(attack.needs.early for attack in resolved.request.attacks) and study.shadow.data == "halves"
    if not has_reader or study.answer or dataset.label_sets is not None or model.kind == "function" or job.procedure:
        return nothing, nothing
    most, population = MOST_RECORDS, min(MOST_POPULATION, len(roles.population))
    if model.kind == "module":
        queries = len(query_views(study.queries))
        affordable = early_records(job.recipe.epochs, len(job.rows), convolves, queries)
        most, population = min(most, affordable - min(population, affordable // 2)), min(population, affordable // 2)
    if most < FEWEST_EARLY:
        return nothing, nothing
    rng = Seeds(study.run.seed).rng("records of early checkpoints")

    def some(count: int, most: int) -> Ints:
        return np.sort(rng.permutation(count)[:most]).astype(np.int64)

    return some(len(roles.audited), most), some(len(roles.population), population)


def questions_of(
    resolved: ResolvedStudy,
    dataset: Dataset,
    representations: Representations,
    roles: Roles,
    seeds: Seeds,
    altered: bool = True,
) -> tuple[Questions, Questions]:
    """What the target is asked, and what shadow models are: fewer test records, and auxiliary ones where they train.

    A served model's answers are defended by its server: output defences stand before the shadow models alone.

    Args:
        altered: altered records (noised, shifted) may be asked about; those of whole numbers would be other records.

    Raises:
        StudyError: queries that are for images, of other records.
    """
    study = resolved.study
    if study.queries != "none" and dataset.kind != "image":
        raise StudyError("queries are for images", found=f"records of shape {dataset.shape}", where="queries")
    query_views(study.queries)
    unaudited = np.concatenate([roles.background, roles.auxiliary])
    sample = np.sort(seeds.rng("background sample").permutation(unaudited)[:SAMPLE])
    in_use = () if dataset.label_sets is not None else temperatures_in_use(study.attacks.temperature)
    questions = Questions(
        x=representations.target.x,
        y=dataset.answers_wanted,
        classes=len(dataset.outputs),
        only=_label_alone(study, dataset),
        audited=roles.audited,
        population=roles.population,
        test=roles.test,
        background=sample,
        background_weight=len(unaudited) / max(1, len(sample)),
        queries=study.queries,
        defences=() if study.target.endpoint is not None else resolved.output_defences,
        key=seeds.sequence("answer key").generate_state(8, np.uint32).tobytes(),
        reference=roles.reference if len(roles.reference) else None,
        rng_seed=study.run.seed,
        extras=resolved.collectors if altered else tuple(c for c in resolved.collectors if not is_built_in(c)),
        validation=roles.validation if len(roles.validation) else None,
        as_stored=representations.target.as_stored,
        temperatures=tuple(sorted({*in_use, *EVERYWHERE})) if in_use else (),
    )
    test = np.sort(seeds.rng("test sample").permutation(roles.test)[:SAMPLE])
    if study.target.endpoint is not None:  # every question may cost
        questions = replace(questions, test=test)
    auxiliary = roles.auxiliary if study.shadow.data != "halves" else None
    of_models = replace(
        questions,
        x=representations.models.x,
        as_stored=representations.models.as_stored,
        temperatures=in_use,
        defences=resolved.output_defences,
    )
    return questions, replace(of_models, test=test, auxiliary=auxiliary)
